package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/domains"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/admin"
	"shingle/web/console"
)

// domainCmd is the wizard's twin for the terminal.
func domainCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "domain", Short: "A board's own hosts: add, check, list, remove, primary", Args: cobra.NoArgs}
	var slug, host string
	add := func(use, short, act string, needsHost bool, run func(ctx context.Context, a *app, out io.Writer, host string) error) {
		c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := open(cmd.Context(), "board")
			if err != nil {
				return err
			}
			defer a.close()
			t, err := a.boards.BySlug(cmd.Context(), slug)
			if err != nil {
				return fmt.Errorf("there is no board %q: `shingle board list` names them", slug)
			}
			ascii := host
			if needsHost && use != "add" {
				name, err := domains.ParseName(host)
				switch {
				case err == nil:
					ascii = name.ASCII
				case !strings.EqualFold(host, t.PlatformHost): // *.localhost is no registered name
					return inWords(err)
				default:
					ascii = t.PlatformHost
				}
			}
			return inWords(a.withNotifier(tenant.With(cmd.Context(), t), func(ctx context.Context) error {
				if err := run(ctx, a, cmd.OutOrStdout(), ascii); err != nil || act == "" {
					return err
				}
				return a.record(ctx, t, authz.Act{Act: act, ObjectKind: "domain", ObjectID: ascii})
			}))
		}}
		c.Flags().StringVar(&slug, "board", "", "the board's slug")
		_ = c.MarkFlagRequired("board")
		if needsHost {
			c.Flags().StringVar(&host, "host", "", "the host, as people write it")
			_ = c.MarkFlagRequired("host")
		}
		cmd.AddCommand(c)
	}
	add("add", "Add a host; prints the DNS records to make", "domain.added", true, func(ctx context.Context, a *app, out io.Writer, host string) error {
		d, err := a.domains.Add(ctx, host, true)
		if err != nil {
			return err
		}
		return a.printDomain(ctx, out, d)
	})
	add("check", "Look for a host's records now; exits with 1 when it is not live", "", true, func(ctx context.Context, a *app, out io.Writer, host string) error {
		d, err := a.domains.Check(ctx, host)
		if err != nil {
			return err
		}
		if err := a.printDomain(ctx, out, d); err != nil {
			return err
		}
		if d.State != domains.Live {
			return exitCode(1)
		}
		return nil
	})
	add("list", "List a board's hosts", "", false, func(ctx context.Context, a *app, out io.Writer, _ string) error { return a.listDomains(ctx, out) })
	add("remove", "Remove a host; it stays reserved for the board for 30 days", "domain.removed", true, func(ctx context.Context, a *app, out io.Writer, host string) error {
		if err := a.domains.Remove(ctx, host); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s is removed\n", domains.Human(host))
		return nil
	})
	add("primary", "Make a live host, or the platform address, the main address", "domain.primary", true, func(ctx context.Context, a *app, out io.Writer, host string) error {
		if err := a.domains.Primary(ctx, host); err != nil {
			return err
		}
		fmt.Fprintf(out, "the main address is %s\n", domains.Human(host))
		return nil
	})
	return cmd
}

// withNotifier runs fn with the notifier sending, and lets it send what fn left.
func (a *app) withNotifier(ctx context.Context, fn func(ctx context.Context) error) error {
	err := fn(ctx)
	return errors.Join(err, a.notifier.Flush(context.WithoutCancel(ctx)))
}

func (a *app) listDomains(ctx context.Context, out io.Writer) error {
	t := tenant.From(ctx)
	var list []domains.Domain
	err := a.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		list, err = a.domains.List(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(host, state string) {
		main := ""
		if host == t.CanonicalHost {
			main = "main address"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", domains.Human(host), state, main)
	}
	line(t.PlatformHost, "platform")
	for i := range list {
		line(list[i].Host, string(list[i].State))
	}
	return w.Flush()
}

// printDomain shows the records to make, each with what was found.
func (a *app) printDomain(ctx context.Context, out io.Writer, d *domains.Domain) error {
	words, err := console.LoadWords(admin.Words())
	if err != nil {
		return err
	}
	t := tenant.From(ctx)
	fmt.Fprintf(out, "%s: %s\n", d.Human(), words.T("en", "domain.state."+string(d.State)))
	if d.Human() != d.Host {
		fmt.Fprintln(out, words.T("en", "domain.written", d.Host))
	}
	if d.Mixed() {
		fmt.Fprintln(out, words.T("en", "domain.mixed", d.Host))
	}
	part := func(f domains.Finding, records ...domains.Record) {
		fmt.Fprintln(out)
		for _, r := range records {
			or := ""
			if r.Or {
				or = "or "
			}
			fmt.Fprintf(out, "  %s%s  %s  %s\n", or, r.Name, r.Type, r.Value)
		}
		if f.State != "" {
			fmt.Fprintf(out, "  %s: %s\n", f.State, words.Text("en", f.Text))
		}
		if len(f.Found) > 0 && f.State != domains.OK {
			fmt.Fprintf(out, "  found: %s\n", strings.Join(f.Found, ", "))
		}
	}
	if d.Report.Elsewhere.State != "" {
		part(d.Report.Elsewhere)
	}
	part(d.Report.Owner, domains.OwnerRecord(d))
	part(d.Report.Address, a.domains.AddressRecords(t, d)...)
	if d.Report.Authority.State == domains.Wrong {
		part(d.Report.Authority, a.domains.AuthorityRecord(d))
	}
	if c, ok := a.domains.Certificate(ctx, d.Host); ok {
		fmt.Fprintf(out, "\n  certificate: %s %s%s\n", c.State, c.Issuer, c.Error)
	}
	return nil
}

// inWords is an error of a domain command for the terminal.
func inWords(err error) error {
	f := fault.FieldsOf(err)
	if len(f) == 0 {
		return err
	}
	words, werr := console.LoadWords(admin.Words())
	if werr != nil {
		return werr
	}
	for _, text := range f {
		return errors.New(words.Text("en", text))
	}
	return err
}
