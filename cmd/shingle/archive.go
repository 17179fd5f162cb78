package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"

	"shingle/archive"
	"shingle/authz"
	"shingle/tenant"
)

func boardExportCmd() *cobra.Command {
	var slug, out, person string
	var o archive.Options
	cmd := &cobra.Command{
		Use: "export", Short: "Write a board into one archive, or one person's data into a ZIP file", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := open(cmd.Context(), "board")
			if err != nil {
				return err
			}
			defer a.close()
			t, err := a.boards.BySlug(cmd.Context(), slug)
			if err != nil {
				return fmt.Errorf("there is no board %q: `shingle board list` names them", slug)
			}
			ctx := tenant.With(cmd.Context(), t)
			if person != "" {
				return plainError(a.exportPerson(ctx, cmd.OutOrStdout(), out, person))
			}
			return plainError(a.exportBoard(ctx, cmd.OutOrStdout(), out, o))
		},
	}
	f := cmd.Flags()
	f.StringVar(&slug, "slug", "", "the board")
	f.StringVar(&out, "out", "", "the file to write; only its owner may read it")
	f.StringVar(&person, "person", "", "an e-mail address: only what the board holds of it, for that person to read")
	f.BoolVar(&o.WithoutApplications, "without-applications", false, "leave applications and their files out")
	_ = cmd.MarkFlagRequired("slug")
	_ = cmd.MarkFlagRequired("out")
	cmd.MarkFlagsMutuallyExclusive("person", "without-applications")
	return cmd
}

func (a *app) exportBoard(ctx context.Context, say io.Writer, path string, o archive.Options) error {
	o.Progress = progress()
	begun := time.Now()
	var m *archive.Manifest
	err := archive.ToFile(path, func(w io.Writer) (err error) {
		m, err = a.archive.Export(ctx, w, o)
		return err
	})
	if err != nil {
		return err
	}
	if err := a.note(ctx, "board.exported", nil); err != nil {
		return err
	}
	fmt.Fprintf(say, "%s: %s in %s\n", path, amounts(m), time.Since(begun).Round(time.Millisecond))
	if m.Missing > 0 {
		fmt.Fprintf(say, "%d files went while they were read\n", m.Missing)
	}
	return nil
}

func (a *app) exportPerson(ctx context.Context, say io.Writer, path, email string) error {
	n := 0
	err := archive.ToFile(path, func(w io.Writer) (err error) {
		n, err = a.archive.Person(ctx, w, email)
		return err
	})
	if err != nil {
		return err
	}
	if err := a.note(ctx, "person.exported", map[string]any{"email": email}); err != nil {
		return err
	}
	fmt.Fprintf(say, "%s: %d entries; index.html in it is for reading\n", path, n)
	return nil
}

// note writes into the board's log and the platform's that its data left.
func (a *app) note(ctx context.Context, act string, personal map[string]any) error {
	t := tenant.From(ctx)
	line := authz.Act{Act: act, ObjectKind: "board", ObjectID: t.ID.String(), Personal: personal}
	err := a.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return authz.Record(ctx, tx, line) })
	if err != nil {
		return err
	}
	return a.record(ctx, t, line)
}

func boardRestoreCmd() *cobra.Command {
	var in string
	var check bool
	var o archive.Restoring
	cmd := &cobra.Command{
		Use: "restore", Short: "Make a board of an archive", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := open(cmd.Context(), "board")
			if err != nil {
				return err
			}
			defer a.close()
			f, err := os.Open(in) // #nosec G304 -- the operator's own file
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			if check {
				h, m, err := a.archive.Check(cmd.Context(), f)
				if err != nil {
					return plainError(err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s, %s, of %s: %s; it can be restored\n", h.Board.Slug, h.Board.Name, h.At.Format(time.RFC3339), amounts(m))
				return nil
			}
			if a.cfg.BoardDomain == "" {
				return errors.New("SHINGLE_BOARD_DOMAIN is missing: boards live at <slug>.<it>")
			}
			o.Progress = progress()
			return plainError(a.withNotifier(cmd.Context(), func(ctx context.Context) error { return a.restoreBoard(ctx, cmd.OutOrStdout(), f, o) }))
		},
	}
	f := cmd.Flags()
	f.StringVar(&in, "in", "", "the archive")
	f.BoolVar(&check, "check", false, "read the whole archive, say what is wrong with it, and write nothing")
	f.StringVar(&o.Slug, "slug", "", "another address than the archive's: <slug>.<SHINGLE_BOARD_DOMAIN>")
	f.StringVar(&o.Owner, "owner", "", "the owner's e-mail address; without it nobody gets in yet")
	f.BoolVar(&o.Invite, "invite-team", false, "ask the archive's team by mail to join again")
	f.BoolVar(&o.NewIDs, "new-ids", false, "give new ids even when the archive's are free")
	f.BoolVar(&o.Open, "open", false, "let the public in at once; otherwise the board is suspended until somebody resumes it")
	_ = cmd.MarkFlagRequired("in")
	return cmd
}

func (a *app) restoreBoard(ctx context.Context, say io.Writer, f io.ReadSeeker, o archive.Restoring) error {
	begun := time.Now()
	r, err := a.archive.Restore(ctx, f, o)
	if err != nil {
		return err
	}
	a.notifier.HostChanged(r.Board.PlatformHost)
	if err := a.record(ctx, r.Board, authz.Act{Act: "board.restored", ObjectKind: "board", ObjectID: r.Board.ID.String()}); err != nil {
		return err
	}
	fmt.Fprintf(say, "%s: %s in %s\n", r.Board.PlatformHost, amounts(r.Manifest), time.Since(begun).Round(time.Millisecond))
	if !r.Kept {
		fmt.Fprintln(say, "its rows have new ids")
	}
	if o.Owner == "" {
		fmt.Fprintln(say, "it has no owner yet: shingle board owner --slug "+r.Board.Slug+" --email …")
	}
	if !o.Open {
		fmt.Fprintln(say, "it is suspended: look at it, then resume it on its page under /staff")
	}
	fmt.Fprintln(say, "a worker makes its search index now")
	h := r.Header
	if len(h.Hosts) > 0 {
		fmt.Fprintf(say, "prove its hosts again: %s\n", strings.Join(h.Hosts, ", "))
	}
	if h.MailDomain != "" {
		fmt.Fprintf(say, "set up its mail domain again: %s\n", h.MailDomain)
	}
	if h.Base {
		fmt.Fprintln(say, "set up its place under the owner's own site again")
	}
	fmt.Fprintln(say, "connect its Stripe account under /admin/payouts")
	return nil
}

// amounts says how much is in an archive.
func amounts(m *archive.Manifest) string {
	var rows, bytes int64
	for _, s := range m.Tables {
		rows += s.Count
		bytes += s.Bytes
	}
	return fmt.Sprintf("%d rows, %d files, %d MB", rows, m.Files.Count, (bytes+m.Files.Bytes)/1_000_000)
}

// progress writes a line to the terminal for what takes long.
func progress() func(string, int64) {
	last := time.Now()
	return func(what string, n int64) {
		if time.Since(last) > 2*time.Second {
			last = time.Now()
			stderr("%s: %d", what, n)
		}
	}
}
