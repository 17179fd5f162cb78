package billing

import (
	"context"
	"slices"
	"strings"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"shingle/internal/fault"
)

// WebhookPath is where Stripe sends events, on the platform's own host.
const WebhookPath = "/webhooks/stripe"

// Endpoint is one of our two webhook endpoints at Stripe.
type Endpoint struct {
	ID string
	// Connect endpoints hear of the connected accounts, the other of the platform's own.
	Connect bool
	URL     string
	// Secret is known once, when the endpoint is made; empty for one that was there.
	Secret string
	Events []string
}

// mark tells our endpoints from others of the same Stripe account.
const mark = "shingle"

// MakeWebhooks makes the endpoints that publicURL lacks, for the platform's own
// events and for the connected accounts', both pinned to APIVersion. Running it
// again changes nothing but the list of events. Kinds: fault.Invalid for an URL
// that Stripe cannot reach, fault.Conflict for an endpoint of ours with another
// API version, which cannot be changed, fault.Unavailable.
func MakeWebhooks(ctx context.Context, api *client.API, publicURL string) ([]Endpoint, error) {
	base := strings.TrimRight(publicURL, "/")
	if !strings.HasPrefix(base, "https://") && !strings.HasPrefix(base, "http://") {
		return nil, fault.New(fault.Invalid, "%q is no public URL", publicURL)
	}
	list := &stripe.WebhookEndpointListParams{}
	list.ListParams.Context = ctx
	list.Limit = stripe.Int64(100)
	var there []*stripe.WebhookEndpoint
	it := api.WebhookEndpoints.List(list)
	for it.Next() {
		there = append(there, it.WebhookEndpoint())
	}
	if err := it.Err(); err != nil {
		return nil, stripeFault(err, "asking for the webhook endpoints")
	}
	out := []Endpoint{}
	for _, want := range []Endpoint{{URL: base + WebhookPath, Events: platformEvents}, {URL: base + WebhookPath, Connect: true, Events: accountEvents}} {
		made, err := makeWebhook(ctx, api, want, there)
		if err != nil {
			return out, err
		}
		out = append(out, made)
	}
	return out, nil
}

func makeWebhook(ctx context.Context, api *client.API, want Endpoint, there []*stripe.WebhookEndpoint) (Endpoint, error) {
	kind := "account"
	if want.Connect {
		kind = "connect"
	}
	at := slices.IndexFunc(there, func(e *stripe.WebhookEndpoint) bool { return e.URL == want.URL && e.Metadata[mark] == kind })
	if at >= 0 {
		old := there[at]
		want.ID = old.ID
		if old.APIVersion != APIVersion {
			return want, fault.New(fault.Conflict, "the endpoint %s is pinned to API version %q: delete it on Stripe's dashboard and run this again", old.ID, old.APIVersion)
		}
		if slices.Equal(slices.Sorted(slices.Values(old.EnabledEvents)), slices.Sorted(slices.Values(want.Events))) {
			return want, nil
		}
		_, err := api.WebhookEndpoints.Update(old.ID, &stripe.WebhookEndpointParams{Params: params(ctx, "", ""), EnabledEvents: stripe.StringSlice(want.Events)})
		return want, stripeFault(err, "changing the webhook endpoint")
	}
	p := &stripe.WebhookEndpointParams{Params: params(ctx, "", ""), URL: stripe.String(want.URL), EnabledEvents: stripe.StringSlice(want.Events),
		APIVersion: stripe.String(APIVersion), Description: stripe.String("Shingle, " + kind + " events"), Metadata: map[string]string{mark: kind}}
	if want.Connect {
		p.Connect = stripe.Bool(true)
	}
	made, err := api.WebhookEndpoints.New(p)
	if err != nil {
		return want, stripeFault(err, "making the webhook endpoint")
	}
	want.ID, want.Secret = made.ID, made.Secret
	return want, nil
}
