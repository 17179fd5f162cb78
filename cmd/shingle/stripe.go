package main

import (
	"fmt"
	"strings"

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
			var secrets []string
			for _, e := range made {
				kind := "platform"
				if e.Connect {
					kind = "connected accounts"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\n", e.ID, kind, e.URL)
				if e.Secret != "" {
					secrets = append(secrets, e.Secret)
				}
			}
			if len(secrets) > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "\nShown once; set them together with those you have:\nSHINGLE_STRIPE_WEBHOOK_SECRET=%s\n", strings.Join(secrets, ","))
			}
			return nil
		},
	})
	return cmd
}
