package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shingle/doctor"
	"shingle/internal/config"
	"shingle/internal/dns"
)

func doctorCmd() *cobra.Command {
	var settings, asJSON bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say what is right, what is not, and what to do", Args: cobra.NoArgs,
		Long: `Looks at the settings and at every server behind them, and prints a table of
what is right, what is not and what to do. Ends with 1 when something is wrong;
warnings alone end with 0.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load("doctor")
			if err != nil {
				return err
			}
			if settings {
				for _, line := range cfg.Redacted() {
					fmt.Fprintln(cmd.OutOrStdout(), line)
				}
			}
			d := &doctor.Doctor{Config: cfg, Problems: servingProblems(), DNS: dns.New(cfg.DNSServers), Now: time.Now}
			return printFindings(cmd.OutOrStdout(), d.Examine(cmd.Context()), asJSON)
		},
	}
	cmd.Flags().BoolVar(&settings, "settings", false, "print the settings too, without secrets")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	cmd.AddCommand(doctorAuditCmd(), doctorIsolationCmd())
	return cmd
}

// servingProblems are what serve and worker would refuse to start with.
func servingProblems() []string {
	var out []string
	for _, mode := range []string{"serve", "worker"} {
		var p config.Problems
		if _, err := load(mode); errors.As(err, &p) {
			for _, line := range p {
				if !slices.Contains(out, line) {
					out = append(out, line)
				}
			}
		}
	}
	return out
}

func printFindings(out io.Writer, found []doctor.Finding, asJSON bool) error {
	worst := doctor.Worst(found)
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"findings": found, "worst": worst}); err != nil {
			return err
		}
	} else {
		t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, f := range found {
			text := f.Found
			if f.Todo != "" {
				text += "; " + f.Todo
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.Level, f.Area, f.What, text)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if worst == doctor.Bad {
		return exitCode(1)
	}
	return nil
}
