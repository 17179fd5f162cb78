package main

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tenant"
)

func boardCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "board", Short: "Make, list and move boards", Args: cobra.NoArgs}
	var n tenant.NewBoard
	var owner string
	create := &cobra.Command{
		Use: "create", Short: "Make a board with its owner; prints its host", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := open(cmd.Context(), "board")
			if err != nil {
				return err
			}
			defer a.close()
			if a.cfg.BoardDomain == "" {
				return fmt.Errorf("SHINGLE_BOARD_DOMAIN is missing: boards live at <slug>.<it>")
			}
			n.Currency = strings.ToUpper(n.Currency)
			t, err := a.launcher.Launch(cmd.Context(), n, owner)
			if err != nil {
				return plainError(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), t.PlatformHost)
			return a.record(cmd.Context(), t, authz.Act{Act: "board.created", ObjectKind: "board", ObjectID: t.ID.String()})
		},
	}
	f := create.Flags()
	f.StringVar(&n.Slug, "slug", "", "the board's address: <slug>.<SHINGLE_BOARD_DOMAIN>")
	f.StringVar(&n.Name, "name", "", "the board's name")
	f.StringVar(&owner, "owner", "", "the owner's e-mail address")
	f.StringVar(&n.Currency, "currency", "USD", "ISO 4217 code")
	f.StringVar(&n.Locale, "locale", "en", "en or de")
	f.StringVar(&n.TimeZone, "time-zone", "UTC", "IANA name")
	f.StringVar(&n.Country, "country", "", "ISO 3166-1 alpha-2 code")
	for _, name := range []string{"slug", "name", "owner"} {
		_ = create.MarkFlagRequired(name)
	}
	list := &cobra.Command{
		Use: "list", Short: "List boards with their hosts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := open(cmd.Context(), "board")
			if err != nil {
				return err
			}
			defer a.close()
			return a.platform.Read(cmd.Context(), func(ctx context.Context, tx bun.IDB) error {
				var rows []struct{ Slug, Name, State, Host string }
				err := tx.NewRaw(`SELECT b.slug, b.name, b.state, h.host FROM boards AS b JOIN hosts AS h ON h.board_id = b.id AND h.canonical ORDER BY b.created_at`).Scan(ctx, &rows)
				for _, r := range rows {
					fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\t%s\n", r.Slug, r.State, r.Host, r.Name)
				}
				return err
			})
		},
	}
	cmd.AddCommand(create, list, boardOwnerCmd(), boardExportCmd(), boardRestoreCmd())
	return cmd
}

// boardOwnerCmd is for a board that came back without one, or has lost it.
func boardOwnerCmd() *cobra.Command {
	var slug, email string
	cmd := &cobra.Command{
		Use: "owner", Short: "Give a board another owner", Args: cobra.NoArgs,
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
			err = a.platform.Write(cmd.Context(), func(ctx context.Context, tx bun.IDB) error {
				o, err := a.operators.FindOrCreate(ctx, tx, email, "", t.Locale)
				if err != nil {
					return err
				}
				if err := authz.Grant(ctx, tx, t.ID, o.ID, authz.Owner); err != nil {
					return err
				}
				act := authz.Act{Act: "member.joined", ObjectKind: "operator", ObjectID: o.ID.String(), Board: t.ID, Detail: map[string]any{"role": authz.Owner}}
				if err := authz.Record(ctx, tx, act); err != nil {
					return err
				}
				return authz.Record(ctx, tx, typed(t, act))
			})
			if err != nil {
				return plainError(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is an owner of %s; sign in at %s\n", email, t.Name, a.links.Platform("/sign-in"))
			return nil
		},
	}
	cmd.Flags().StringVar(&slug, "slug", "", "the board")
	cmd.Flags().StringVar(&email, "email", "", "the owner's e-mail address")
	_ = cmd.MarkFlagRequired("slug")
	_ = cmd.MarkFlagRequired("email")
	return cmd
}

func staffCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "staff", Short: "Make members of the platform's staff", Args: cobra.NoArgs}
	var email, role string
	create := &cobra.Command{
		Use: "create", Short: "Give an address a role on the platform", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := open(cmd.Context(), "staff")
			if err != nil {
				return err
			}
			defer a.close()
			err = a.platform.Write(cmd.Context(), func(ctx context.Context, tx bun.IDB) error {
				o, err := a.operators.FindOrCreate(ctx, tx, email, "", "en")
				if err != nil {
					return err
				}
				if err := authz.Grant(ctx, tx, tenant.Nil, o.ID, role); err != nil {
					return err
				}
				return authz.Record(ctx, tx, typed(nil, authz.Act{Act: "member.joined", ObjectKind: "operator", ObjectID: o.ID.String(), Detail: map[string]any{"role": role}}))
			})
			if err != nil {
				return plainError(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is %s; sign in at %s\n", email, role, a.links.Platform("/sign-in"))
			fmt.Fprintln(cmd.ErrOrStderr(), "They are asked to set up a second factor when they sign in.")
			return nil
		},
	}
	create.Flags().StringVar(&email, "email", "", "their e-mail address")
	create.Flags().StringVar(&role, "role", "", strings.Join(authz.BuiltinRoles(tenant.Nil), ", "))
	_ = create.MarkFlagRequired("email")
	_ = create.MarkFlagRequired("role")
	var lost string
	forget := &cobra.Command{
		Use: "forget-factors", Short: "Remove the second factors of an operator who has lost them all", Args: cobra.NoArgs,
		Long: "Make sure who asks: whoever reads this operator's mail can sign in afterwards. Their sessions end and they are told by mail.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := open(cmd.Context(), "staff")
			if err != nil {
				return err
			}
			defer a.close()
			by := tenant.WithActor(cmd.Context(), tenant.Actor{Kind: tenant.System, Label: login()})
			err = a.platform.Write(by, func(ctx context.Context, tx bun.IDB) error {
				o, err := a.operators.ByEmail(ctx, tx, lost)
				if err != nil {
					return err
				}
				return a.operators.ForgetFactors(ctx, tx, o)
			})
			if err != nil {
				return plainError(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s has no second factor any more; all sign-ins have ended\n", lost)
			return nil
		},
	}
	forget.Flags().StringVar(&lost, "email", "", "their e-mail address")
	_ = forget.MarkFlagRequired("email")
	cmd.AddCommand(create, forget)
	return cmd
}

// explain writes refused fields for the terminal.
func explain(f fault.Fields) string {
	words := map[string]string{"board.slug.taken": "this address is taken", "board.slug.form": "letters, digits and inner hyphens only, 40 at most",
		"board.slug.required": "is missing", "board.slug.reserved": "this address is reserved", "board.name.required": "is missing", "board.name.long": "60 characters at most",
		"board.locale.unknown": "must be en or de", "board.currency.unknown": "is no ISO 4217 currency", "board.time_zone.unknown": "is no IANA time zone",
		"board.country.unknown": "is no ISO 3166-1 country", "field.email.invalid": "is no e-mail address",
		"account.role.unknown": "must be one of " + strings.Join(authz.BuiltinRoles(tenant.Nil), ", ")}
	var lines []string
	for name, key := range f {
		text := words[key]
		if text == "" {
			text = key
		}
		lines = append(lines, "--"+strings.ReplaceAll(name, "_", "-")+" "+text)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func searchCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "search", Short: "Look after the search index", Args: cobra.NoArgs}
	var slug string
	rebuild := &cobra.Command{
		Use: "rebuild", Short: "Make the index anew, of one board or all, without a gap", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := open(cmd.Context(), "search")
			if err != nil {
				return err
			}
			defer a.close()
			return a.search.RebuildAll(cmd.Context(), slug, func(t *tenant.Tenant, err error) {
				if err != nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", t.Slug, err)
					return
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: rebuilt\n", t.Slug)
			})
		},
	}
	rebuild.Flags().StringVar(&slug, "board", "", "one board's slug; all boards when empty")
	cmd.AddCommand(rebuild)
	return cmd
}
