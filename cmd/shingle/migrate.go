package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"shingle/migrations"
)

func migrateCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Bring the database's schema up to date", Args: cobra.NoArgs}
	cmd.AddCommand(&cobra.Command{
		Use: "up", Short: "Make missing roles and apply every new migration", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load("migrate")
			if err != nil {
				return err
			}
			pending, err := migrations.Pending(cmd.Context(), cfg.MigrateDatabaseURL)
			if err != nil {
				return err
			}
			if err := migrations.Up(cmd.Context(), cfg.MigrateDatabaseURL, cfg.DatabaseURL, cfg.PlatformDatabaseURL); err != nil {
				return err
			}
			for _, name := range pending {
				fmt.Fprintln(cmd.OutOrStdout(), "applied", name)
			}
			if len(pending) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing to do: the schema is up to date")
			}
			return nil
		},
	}, &cobra.Command{
		Use: "down", Short: "Roll back what the last `up` applied", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load("migrate")
			if err != nil {
				return err
			}
			return migrations.Down(cmd.Context(), cfg.MigrateDatabaseURL)
		},
	}, &cobra.Command{
		Use: "status", Short: "List the migrations that the database lacks", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load("migrate")
			if err != nil {
				return err
			}
			pending, err := migrations.Pending(cmd.Context(), cfg.MigrateDatabaseURL)
			if err != nil {
				return err
			}
			for _, name := range pending {
				fmt.Fprintln(cmd.OutOrStdout(), "pending", name)
			}
			if len(pending) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "up to date")
			}
			return nil
		},
	})
	return cmd
}
