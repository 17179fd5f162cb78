package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"

	"shingle/archive"
	"shingle/authz"
	"shingle/backup"
	"shingle/internal/config"
	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/internal/seal"
	"shingle/search"
	"shingle/tenant"
)

func backupCmd() *cobra.Command {
	var out string
	var verify bool
	var keep int
	cmd := &cobra.Command{
		Use: "backup", Short: "Write the whole installation, database and files, into one encrypted file", Args: cobra.NoArgs,
		Long: "Reads all rows in one snapshot, then the files, and encrypts them to SHINGLE_BACKUP_KEY. SHINGLE_SECRET_KEY is not in it: keep that, too.\n" +
			"--out takes a file, - for a pipe, or the address of a folder as in SHINGLE_BLOB_URL (s3://bucket?region=…&prefix=backups/), where the file is named after the time.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, keys, err := backupSettings("backup")
			if err != nil {
				return err
			}
			if keep > 0 && !strings.Contains(out, "://") {
				return errors.New("--keep is for a folder: --out s3://… or file://…")
			}
			if verify && out == "-" {
				return errors.New("a pipe cannot be read again: leave --verify out, and run `shingle restore --check --in …` where the backup lies")
			}
			if verify && !keys.Opens() {
				return errors.New("--verify needs the private key: SHINGLE_BACKUP_KEY is a public one. Run `shingle restore --check --in …` where the private key is")
			}
			return plainError(runBackup(cmd.Context(), cmd.OutOrStdout(), cfg, keys, out, verify, keep))
		},
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "the file to write, which only its owner may read; - for a pipe; or the address of a folder")
	f.BoolVar(&verify, "verify", false, "read the backup again afterwards and hold every checksum")
	f.IntVar(&keep, "keep", 0, "in a folder: delete all but so many of the newest backups, once the new one is there")
	_ = cmd.MarkFlagRequired("out")
	cmd.AddCommand(&cobra.Command{
		Use: "key", Short: "Make a key for backups", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			private, public, err := backup.NewKey()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "# SHINGLE_BACKUP_KEY of `shingle backup`: %s\n# SHINGLE_BACKUP_KEY of `shingle restore`, to be kept where the servers cannot reach it:\n%s\n", public, private)
			return nil
		},
	})
	return cmd
}

func backupSettings(mode string) (*config.Config, *backup.Keys, error) {
	cfg, err := load(mode)
	if err != nil {
		return nil, nil, err
	}
	keys, err := backup.ParseKeys(cfg.BackupKey)
	return cfg, keys, err
}

// secretID names SHINGLE_SECRET_KEY without telling anything of it.
func secretID(cfg *config.Config) (string, error) {
	if len(cfg.Secret()) == 0 {
		return "", nil
	}
	s, err := seal.New("shingle backup", cfg.Secret())
	if err != nil {
		return "", err
	}
	return s.ID(), nil
}

func runBackup(ctx context.Context, say io.Writer, cfg *config.Config, keys *backup.Keys, out string, verify bool, keep int) error {
	begun := time.Now()
	files, err := blob.OpenBucket(ctx, cfg.BlobURL)
	if err != nil {
		return fmt.Errorf("opening the file store: %w", err)
	}
	defer func() { _ = files.Close() }()
	secret, err := secretID(cfg)
	if err != nil {
		return err
	}
	src := &backup.Source{PlatformURL: cfg.PlatformDatabaseURL, Files: files, Keys: keys, Version: buildVersion(), Secret: secret, Now: time.Now, Progress: progress()}
	var m *backup.Manifest
	var size counter
	write := func(w io.Writer) (err error) {
		m, err = src.Write(ctx, io.MultiWriter(w, &size))
		return err
	}
	where, reopen := out, func() (io.ReadCloser, error) { return os.Open(out) } // #nosec G304 -- the operator's own file
	switch {
	case out == "-":
		say = io.Discard // what is said would be in the pipe
		err = write(os.Stdout)
	case strings.Contains(out, "://"):
		where, reopen, err = intoFolder(ctx, out, begun, write)
	default:
		err = archive.ToFile(out, write)
	}
	if err != nil {
		return err
	}
	if verify {
		r, err := reopen()
		if err != nil {
			return err
		}
		_, _, err = backup.Check(r, keys)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	if err := noteBackup(ctx, cfg); err != nil {
		return fmt.Errorf("the backup is written, but not noted in the audit log: %w", err)
	}
	rows, bytes := m.Total()
	fmt.Fprintf(say, "%s: %d rows, %d files, %s of %s in %s", where, rows, m.Files.Count, megabytes(int64(size)), megabytes(bytes), time.Since(begun).Round(time.Millisecond))
	if verify {
		fmt.Fprint(say, "; read again, and whole")
	}
	fmt.Fprintln(say)
	// Last, once the new one is read and noted. A bucket may forbid it.
	if keep > 0 {
		if err := prune(ctx, out, keep); err != nil {
			fmt.Fprintf(say, "older backups could not be deleted: %v\n", err)
		}
	}
	if m.Missing > 0 {
		fmt.Fprintf(say, "%d files went while they were read\n", m.Missing)
	}
	return nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// counter counts what is written.
type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// noteBackup writes into the platform's log that everything left.
func noteBackup(ctx context.Context, cfg *config.Config) error {
	pool, err := pg.Open(cfg.PlatformDatabaseURL, 1)
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	return tenant.NewPlatform(pool, tenant.NewNotifier(cfg.PlatformDatabaseURL, newLogger(os.Stderr, nil))).Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		return authz.Record(ctx, tx, typed(nil, authz.Act{Act: backup.Noted, ObjectKind: "installation"}))
	})
}

// backupName is what a backup in a folder is called; its order is that of time.
const backupName = "shingle-20060102T150405Z.backup"

var backupForm = regexp.MustCompile(`^shingle-[0-9]{8}T[0-9]{6}Z\.backup$`)

// intoFolder writes a backup into a bucket, where it appears whole or not at all.
func intoFolder(ctx context.Context, url string, at time.Time, write func(io.Writer) error) (string, func() (io.ReadCloser, error), error) {
	b, err := blob.OpenBucket(ctx, url)
	if err != nil {
		return "", nil, fmt.Errorf("--out: %w", err)
	}
	name := at.UTC().Format(backupName)
	if err := toBlob(ctx, b, name, write); err != nil {
		return "", nil, errors.Join(err, b.Close())
	}
	return name, func() (io.ReadCloser, error) { return fromBucket(ctx, b, name) }, nil
}

// prune deletes all but the newest backups of a folder.
func prune(ctx context.Context, url string, keep int) (err error) {
	b, err := blob.OpenBucket(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	names, err := backupsIn(ctx, b)
	for len(names) > keep && err == nil {
		err = b.Delete(ctx, names[0])
		names = names[1:]
	}
	return err
}

func toBlob(ctx context.Context, b *blob.Bucket, name string, write func(io.Writer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := b.NewWriter(ctx, name, &blob.WriterOptions{ContentType: "application/octet-stream", MaxConcurrency: 1})
	if err != nil {
		return err
	}
	if err := write(w); err != nil {
		cancel() // half a backup is not kept
		_ = w.Close()
		return err
	}
	return w.Close()
}

// backupsIn lists a folder's backups, oldest first.
func backupsIn(ctx context.Context, b *blob.Bucket) ([]string, error) {
	var names []string
	list := b.List(nil)
	for {
		o, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		if backupForm.MatchString(o.Key) {
			names = append(names, o.Key)
		}
	}
}

// bucketReader closes its bucket, too.
type bucketReader struct {
	*blob.Reader
	bucket *blob.Bucket
}

func (r bucketReader) Close() error { return errors.Join(r.Reader.Close(), r.bucket.Close()) }

func fromBucket(ctx context.Context, b *blob.Bucket, name string) (io.ReadCloser, error) {
	r, err := b.NewReader(ctx, name, nil)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return bucketReader{r, b}, nil
}

func restoreCmd() *cobra.Command {
	var in, name string
	var check, replace bool
	cmd := &cobra.Command{
		Use: "restore", Short: "Make an installation of a backup, or say whether one is whole", Args: cobra.NoArgs,
		Long: "Reads the backup once to hold every checksum, then makes schema and rows of it in one transaction of the owner's: it is there whole or not at all.\n" +
			"A pipe (--in -) is read once; what is wrong with it is found before the commit. An older backup is brought to this version's schema; a newer one is refused.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			mode := "restore"
			if check {
				mode = "restore-check"
			}
			cfg, keys, err := backupSettings(mode)
			if err != nil {
				return err
			}
			if name != "" && !strings.Contains(in, "://") {
				return errors.New("--name is for a folder: --in s3://… or file://…")
			}
			if check {
				return plainError(runCheck(cmd.Context(), cmd.OutOrStdout(), keys, in, name))
			}
			return plainError(runRestore(cmd.Context(), cmd.OutOrStdout(), cfg, keys, in, name, replace))
		},
	}
	f := cmd.Flags()
	f.StringVar(&in, "in", "", "the backup's file; - for a pipe; or the address of a folder, whose newest backup is taken")
	f.StringVar(&name, "name", "", "in a folder: another backup than the newest")
	f.BoolVar(&check, "check", false, "read the whole backup, say what is wrong with it, and write nothing")
	f.BoolVar(&replace, "replace", false, "erase the database's rows and the files that are there")
	_ = cmd.MarkFlagRequired("in")
	cmd.MarkFlagsMutuallyExclusive("check", "replace")
	return cmd
}

// openBackup opens a file, a pipe or a backup of a folder.
func openBackup(ctx context.Context, in, name string) (io.ReadCloser, error) {
	if in == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	if !strings.Contains(in, "://") {
		return os.Open(in) // #nosec G304 -- the operator's own file
	}
	b, err := blob.OpenBucket(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("--in: %w", err)
	}
	if name == "" {
		names, err := backupsIn(ctx, b)
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		if len(names) == 0 {
			return nil, errors.Join(errors.New("--in: there is no backup in this folder"), b.Close())
		}
		name = names[len(names)-1]
	}
	return fromBucket(ctx, b, name)
}

func runCheck(ctx context.Context, say io.Writer, keys *backup.Keys, in, name string) error {
	r, err := openBackup(ctx, in, name)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	h, m, err := backup.Check(r, keys)
	if err != nil {
		return err
	}
	rows, bytes := m.Total()
	fmt.Fprintf(say, "whole: %s, by version %s from Postgres %s: %d rows, %d files, %s\n", h.At.Format(time.RFC3339), h.Version, h.Postgres, rows, m.Files.Count, megabytes(bytes))
	return nil
}

func runRestore(ctx context.Context, say io.Writer, cfg *config.Config, keys *backup.Keys, in, name string, replace bool) error {
	if !keys.Opens() {
		return fault.New(fault.Invalid, "SHINGLE_BACKUP_KEY is a public key: to open a backup set the private one (AGE-SECRET-KEY-1…)")
	}
	begun := time.Now()
	if in != "-" {
		// A damaged backup must not cost what is there.
		r, err := openBackup(ctx, in, name)
		if err != nil {
			return err
		}
		_, _, err = backup.Check(r, keys)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	r, err := openBackup(ctx, in, name)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	files, err := blob.OpenBucket(ctx, cfg.BlobURL)
	if err != nil {
		return fmt.Errorf("opening the file store: %w", err)
	}
	defer func() { _ = files.Close() }()
	t := &backup.Target{OwnerURL: cfg.MigrateDatabaseURL, AppURL: cfg.DatabaseURL, PlatformURL: cfg.PlatformDatabaseURL, Files: files, Keys: keys,
		Replace: replace, By: login(), Rebuild: search.TaskRebuild, Progress: progress()}
	done, err := t.Restore(ctx, r)
	if err != nil {
		return err
	}
	rows, _ := done.Manifest.Total()
	fmt.Fprintf(say, "restored %s: %d rows, %d files in %s\n", done.Header.At.Format(time.RFC3339), rows, done.Manifest.Files.Count, time.Since(begun).Round(time.Millisecond))
	if n := len(done.Upgraded); n > 0 {
		fmt.Fprintf(say, "its schema was brought up to date by %d migrations\n", n)
	}
	secret, err := secretID(cfg)
	if err != nil {
		return err
	}
	if h := done.Header; h.Secret != "" && secret != h.Secret {
		fmt.Fprintln(say, "set the SHINGLE_SECRET_KEY of that time: without it keys of mail and certificates, and second factors, cannot be read")
	}
	fmt.Fprintln(say, "start worker, which makes the search index anew, then serve; `shingle doctor` says whether all is well")
	return nil
}
