package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"

	"context"

	"shingle/authz/chain"
	"shingle/internal/pg"
	"shingle/tenant"
)

// audited is one chain's line of the table.
type audited struct {
	Name string `json:"name"`
	Head string `json:"head"`
	*chain.Report
}

func doctorAuditCmd() *cobra.Command {
	var board string
	var heads []string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "audit", Short: "Verify the audit log's hash chains", Args: cobra.NoArgs,
		Long: `Walks every chain of the audit log, or one board's, and says which line was
altered, deleted or inserted past the log, and whether a tail was cut off. Ends
with 1 when anything is wrong.

A tail that was cut together with the table of heads shows only against a head
that was kept elsewhere: --head 1234:<hash>, as the worker logs it every day.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			given := make([]chain.Head, len(heads))
			for i, h := range heads {
				var err error
				if given[i], err = chain.ParseHead(h); err != nil {
					return err
				}
			}
			if len(given) > 0 && board == "" {
				return errors.New("--head belongs to one chain: name it with --board")
			}
			cfg, err := load("doctor")
			if err != nil {
				return err
			}
			db, err := pg.Open(cfg.PlatformDatabaseURL, 2)
			if err != nil {
				return err
			}
			defer func() { _ = db.Close() }()
			found, err := auditChains(cmd.Context(), tenant.NewPlatform(db, nil), board, given)
			if err != nil {
				return err
			}
			return printAudit(cmd.OutOrStdout(), found, asJSON)
		},
	}
	cmd.Flags().StringVar(&board, "board", "", `one board's chain by its slug; "platform" for the platform's own`)
	cmd.Flags().StringArrayVar(&heads, "head", nil, "a head that was kept elsewhere, seq:hash; with --board")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return cmd
}

func auditChains(ctx context.Context, p *tenant.Platform, board string, given []chain.Head) ([]audited, error) {
	ids, err := chain.All(ctx, p)
	if err != nil {
		return nil, err
	}
	names := map[tenant.ID]string{tenant.Nil: "platform"}
	err = p.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		var rows []struct {
			ID   tenant.ID `bun:"id"`
			Slug string    `bun:"slug"`
		}
		if err := tx.NewRaw(`SELECT id, slug FROM boards`).Scan(ctx, &rows); err != nil {
			return err
		}
		for _, r := range rows {
			names[r.ID] = r.Slug
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if board != "" {
		ids = ids[:0]
		for id, name := range names {
			if name == board || id.String() == board {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			// A board that is gone keeps its chain, by its id.
			id, err := tenant.ParseID(board)
			if err != nil {
				return nil, fmt.Errorf("there is no board %s", board)
			}
			ids = append(ids, id)
		}
	}
	out := make([]audited, 0, len(ids))
	for _, id := range ids {
		r, err := chain.Verify(ctx, p, id, given...)
		if err != nil {
			return nil, err
		}
		name := names[id]
		if name == "" {
			name = id.String()
		}
		out = append(out, audited{Name: name, Head: r.Head.String(), Report: r})
	}
	return out, nil
}

func printAudit(out io.Writer, found []audited, asJSON bool) error {
	wrong := 0
	for _, a := range found {
		wrong += a.Wrong
	}
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"chains": found, "wrong": wrong}); err != nil {
			return err
		}
	} else {
		for _, a := range found {
			state := "ok"
			if a.Wrong > 0 {
				state = "NO"
			}
			fmt.Fprintf(out, "%s  %s: %d lines", state, a.Name, a.Lines)
			if a.Erased > 0 {
				fmt.Fprintf(out, ", %d with the personal part erased", a.Erased)
			}
			if a.Late > 0 {
				fmt.Fprintf(out, ", %d sealed over a day after their date", a.Late)
			}
			if a.Waiting > 0 {
				fmt.Fprintf(out, ", %d waiting since %s", a.Waiting, a.WaitingSince.UTC().Format(time.DateTime))
			}
			if a.Report.Head.Seq > 0 {
				fmt.Fprintf(out, ", head %s", a.Head)
			}
			fmt.Fprintln(out)
			for _, p := range a.Problems {
				fmt.Fprintln(out, "      "+p.Text)
			}
			if n := a.Wrong - len(a.Problems); n > 0 {
				fmt.Fprintf(out, "      and %d more\n", n)
			}
		}
		if len(found) == 0 {
			fmt.Fprintln(out, "the audit log is empty")
		}
	}
	if wrong > 0 {
		return exitCode(1)
	}
	return nil
}
