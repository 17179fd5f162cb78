package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"gocloud.dev/blob"

	"shingle/doctor/isolation"
)

func doctorIsolationCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "isolation", Short: "Try to cross the walls between boards, and report each try", Args: cobra.NoArgs,
		Long: `Tries with the app's own login, on the running database, to reach one board's
rows from another: on every table, by roles, settings, bulk commands, functions
and what Postgres tells of itself; and looks at the names in Redis, the search
engine and the file store. Every try is rolled back. Ends with 1 when one got
through.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load("doctor")
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			r, err := isolation.Run(ctx, cfg.DatabaseURL, cfg.PlatformDatabaseURL)
			if err != nil {
				return err
			}
			if cfg.RedisURL != "" {
				opts, err := redis.ParseURL(cfg.RedisURL)
				if err != nil {
					return fmt.Errorf("SHINGLE_REDIS_URL cannot be read")
				}
				rdb := redis.NewClient(opts)
				defer func() { _ = rdb.Close() }()
				r.Redis(ctx, rdb)
			}
			if cfg.TypesenseURL != "" {
				r.Typesense(ctx, cfg.TypesenseURL, cfg.TypesenseKey)
			}
			if cfg.BlobURL != "" {
				bucket, err := blob.OpenBucket(ctx, cfg.BlobURL)
				if err != nil {
					return fmt.Errorf("the file store cannot be opened")
				}
				defer func() { _ = bucket.Close() }()
				r.Files(ctx, bucket)
			}
			return printIsolation(cmd.OutOrStdout(), r, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the tries as JSON")
	return cmd
}

func printIsolation(out io.Writer, r *isolation.Report, asJSON bool) error {
	crossed := r.Count(isolation.Crossed)
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"tries": r.Tries, "tables": r.Tables, "boards": r.Boards, "crossed": crossed}); err != nil {
			return err
		}
	} else {
		t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, try := range r.Tries {
			fmt.Fprintf(t, "%s\t%s\t→ %s\t%s\n", try.Where, try.What, try.Result, try.Detail)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		var parts []string
		for _, result := range []string{isolation.Refused, isolation.Empty, isolation.ByDesign, isolation.Nothing, isolation.Unknown, isolation.Crossed} {
			parts = append(parts, fmt.Sprintf("%d %s", r.Count(result), result))
		}
		fmt.Fprintf(out, "\n%d tries on %d tables: %s\n", len(r.Tries), r.Tables, strings.Join(parts, ", "))
		if r.Boards < 2 {
			fmt.Fprintln(out, "there are fewer than two boards: reading and changing another's rows could not be tried in earnest")
		}
	}
	if crossed > 0 {
		return exitCode(1)
	}
	return nil
}
