// Command shingle runs many branded job boards from one program.
//
// `shingle dev` needs nothing but this binary and Postgres' programs; `serve`
// and `worker` are the two processes of production. This package wires values
// together and holds no rules. Start at root.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // a small image has no time zones of its own

	"github.com/spf13/cobra"

	"shingle/internal/config"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root().ExecuteContext(ctx)
	if err == nil {
		return
	}
	var problems config.Problems
	if errors.As(err, &problems) {
		fmt.Fprintln(os.Stderr, "shingle: "+problems.Error())
		os.Exit(2)
	}
	var code exitCode
	if errors.As(err, &code) {
		os.Exit(int(code))
	}
	fmt.Fprintln(os.Stderr, "shingle: "+err.Error())
	os.Exit(1)
}

// exitCode ends the program with a code and no more words.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit %d", int(c)) }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "shingle",
		Short:         "Many branded job boards from one program",
		Version:       buildVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(serveCmd(), workerCmd(), devCmd(), demoCmd(), migrateCmd(), boardCmd(), domainCmd(), staffCmd(), searchCmd(), seedCmd(), stripeCmd(), backupCmd(), restoreCmd(), doctorCmd())
	return cmd
}

func buildVersion() string {
	if version != "dev" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return s.Value[:12]
			}
		}
	}
	return version
}

// load reads the settings for a command.
func load(mode string) (*config.Config, error) { return config.Load(mode, os.Environ()) }
