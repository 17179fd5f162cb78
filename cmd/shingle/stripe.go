package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"shingle/billing"
)

func stripeCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "stripe", Short: "Set Stripe up", Args: cobra.NoArgs}
	cmd.AddCommand(&cobra.Command{
		Use: "webhooks", Short: "Make both webhook endpoints, pinned to the API version that Shingle speaks; prints new secrets once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load("stripe")
			if err != nil {
				return err
			}
			base := cfg.PublicURL
			made, err := billing.MakeWebhooks(cmd.Context(), billing.NewStripe(cfg.StripeKey, cfg.StripeAPIBase, nil), base)
			if err != nil {
				return err
			}
			for _, e := range made {
				fmt.Fprintln(cmd.OutOrStdout(), e.String())
			}
			return nil
		},
	})
	return cmd
}
