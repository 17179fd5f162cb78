package stripesim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

type event struct {
	head
	Account         string       `json:"account,omitempty"`
	APIVersion      string       `json:"api_version"`
	Data            eventData    `json:"data"`
	PendingWebhooks int          `json:"pending_webhooks"`
	Request         eventRequest `json:"request"`
	Type            string       `json:"type"`
}

type eventData struct {
	Object             json.RawMessage `json:"object"`
	PreviousAttributes map[string]any  `json:"previous_attributes,omitempty"`
}

type eventRequest struct {
	ID             *string `json:"id"`
	IdempotencyKey *string `json:"idempotency_key"`
}

type endpoint struct {
	head
	APIVersion    *string  `json:"api_version"`
	Application   *string  `json:"application"` // set on endpoints that hear of connected accounts
	Description   *string  `json:"description"`
	EnabledEvents []string `json:"enabled_events"`
	Metadata      meta     `json:"metadata"`
	Secret        string   `json:"secret,omitempty"`
	Status        string   `json:"status"`
	URL           string   `json:"url"`
}

const (
	deliveryPending = "pending"
	deliveryDone    = "delivered"
	deliveryFailed  = "failed"
)

// delivery is one event on its way to one endpoint.
type delivery struct {
	head
	Event    string `json:"event"`
	Endpoint string `json:"endpoint"`
	Status   string `json:"status"`
	Attempts int    `json:"attempts"`
	NextAt   int64  `json:"next_at"` // Unix milliseconds
	Answer   int    `json:"answer"`  // last HTTP status, 0 when there was none
	Problem  string `json:"problem,omitempty"`
}

// emit records an event of account ("" is the platform) with v as it is now,
// and queues it for every endpoint that listens.
func (t *tx) emit(account, kind string, v any, previous map[string]any) {
	e := &event{head: t.head(kEvent), Account: account, APIVersion: APIVersion, Data: eventData{Object: mustJSON(v), PreviousAttributes: previous}, Type: kind,
		Request: eventRequest{ID: str(t.requestID), IdempotencyKey: str(t.key)}}
	for _, ep := range t.endpoints() {
		if (ep.Application != nil) == (account != "") && ep.Status == "enabled" && ep.wants(kind) {
			t.put("", &delivery{head: t.head(kDelivery), Event: e.ID, Endpoint: ep.ID, Status: deliveryPending, NextAt: t.now.UnixMilli()})
			e.PendingWebhooks++
		}
	}
	t.put(account, e)
}

func (ep *endpoint) wants(kind string) bool {
	return slices.Contains(ep.EnabledEvents, "*") || slices.Contains(ep.EnabledEvents, kind)
}

// endpoints are those of Options, then those made through the API.
func (t *tx) endpoints() []*endpoint {
	var out []*endpoint
	for i, o := range t.sim.opt.Endpoints {
		ep := &endpoint{head: head{ID: fmt.Sprintf("we_configured_%d", i+1), Object: kEndpoint, Created: known[platformMark](t, platformRow).Created}, APIVersion: str(APIVersion),
			EnabledEvents: []string{"*"}, Metadata: meta{}, Secret: o.Secret, Status: "enabled", URL: o.URL}
		if o.Connect {
			ep.Application = str("ca_configured")
			ep.Description = str("Connected accounts, as configured")
		}
		out = append(out, ep)
	}
	t.scan(kEndpoint, func(r *row) bool {
		out = append(out, decode[endpoint](r))
		return true
	})
	return out
}

func (t *tx) endpoint(id string) *endpoint {
	all := t.endpoints()
	i := slices.IndexFunc(all, func(e *endpoint) bool { return e.ID == id })
	if i < 0 {
		return nil
	}
	return all[i]
}

func createEndpoint(c *call) (any, error) {
	if c.account != "" {
		return nil, invalid("", "", "This simulator keeps webhook endpoints for the platform only.")
	}
	ep := &endpoint{head: c.tx.head(kEndpoint), Status: "enabled", Secret: "whsec_" + secret(32), URL: c.needLink("url"), Metadata: c.dict("metadata"), Description: str(c.str("description"))}
	ep.EnabledEvents = c.enabledEvents(nil)
	if c.flag("connect") {
		ep.Application = str(clientID(c.tx))
	}
	ep.APIVersion = str(c.str("api_version"))
	if err := c.done(); err != nil {
		return nil, err
	}
	c.put("", ep)
	return ep, nil
}

func (c *call) enabledEvents(old []string) []string {
	kinds := c.list("enabled_events")
	if len(kinds) == 0 {
		if old == nil {
			c.fail(invalid("parameter_missing", "enabled_events", "Missing required param: enabled_events."))
		}
		return old
	}
	for i, k := range kinds {
		if k != "*" && !strings.Contains(k, ".") {
			c.fail(invalid("", fmt.Sprintf("enabled_events[%d]", i), "Invalid enabled_events[%d]: %s is no kind of event", i, k))
		}
	}
	return kinds
}

// shown is an endpoint as Stripe shows it after its making: without the secret.
func (ep *endpoint) shown() *endpoint {
	c := *ep
	c.Secret = ""
	return &c
}

func (c *call) reachEndpoint() (*endpoint, error) {
	if ep := c.endpoint(c.id); ep != nil && c.account == "" {
		return ep, nil
	}
	return nil, missing(kEndpoint, c.id, "webhook_endpoint")
}

func getEndpoint(c *call) (any, error) {
	ep, err := c.reachEndpoint()
	if err != nil {
		return nil, err
	}
	return ep.shown(), nil
}

func updateEndpoint(c *call) (any, error) {
	ep, err := c.reachEndpoint()
	if err != nil {
		return nil, err
	}
	if c.row(ep.ID) == nil {
		return nil, invalid("", "", "This webhook endpoint comes from the simulator's configuration and can't be changed.")
	}
	ep.EnabledEvents = c.enabledEvents(ep.EnabledEvents)
	ep.URL = cmp.Or(c.link("url"), ep.URL)
	ep.Metadata = c.mergeMeta(ep.Metadata)
	ep.Description = str(cmp.Or(c.str("description"), text(ep.Description)))
	if c.has("disabled") {
		ep.Status = "enabled"
		if c.flag("disabled") {
			ep.Status = "disabled"
		}
	}
	if err := c.done(); err != nil {
		return nil, err
	}
	c.put("", ep)
	return ep.shown(), nil
}

func deleteEndpoint(c *call) (any, error) {
	ep, err := c.reachEndpoint()
	if err != nil {
		return nil, err
	}
	if c.row(ep.ID) == nil {
		return nil, invalid("", "", "This webhook endpoint comes from the simulator's configuration and can't be deleted.")
	}
	c.drop(ep.ID)
	return map[string]any{"id": ep.ID, "object": kEndpoint, "deleted": true}, nil
}

func listEndpoints(c *call) (any, error) {
	if c.account != "" {
		return newList[*endpoint](c.path), nil
	}
	all := c.endpoints()
	for i, ep := range all {
		all[i] = ep.shown()
	}
	return slicePage(c, all, func(e *endpoint) string { return e.ID })
}

func listEvents(c *call) (any, error) {
	kind, kinds := c.str("type"), c.list("types")
	c.choice("delivery_success", "true", "false")
	return page(c, kEvent, func(e *event) bool {
		if len(kinds) > 0 {
			return slices.Contains(kinds, e.Type)
		}
		if prefix, any := strings.CutSuffix(kind, "*"); any {
			return strings.HasPrefix(e.Type, prefix)
		}
		return kind == "" || e.Type == kind
	})
}

// redeliver sends an event again to every endpoint that listens.
func (t *tx) redeliver(id string) error {
	r := t.row(id)
	if r == nil || r.Kind != kEvent {
		return missing(kEvent, id, "event")
	}
	e := decode[event](r)
	for _, ep := range t.endpoints() {
		if (ep.Application != nil) == (e.Account != "") && ep.Status == "enabled" && ep.wants(e.Type) {
			t.put("", &delivery{head: t.head(kDelivery), Event: e.ID, Endpoint: ep.ID, Status: deliveryPending, NextAt: t.now.UnixMilli()})
		}
	}
	return nil
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Host
}
