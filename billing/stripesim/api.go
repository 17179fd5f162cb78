package stripesim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// keyLife is how long Stripe remembers an idempotency key.
const keyLife = 24 * time.Hour

const maxBody = 1 << 20

// call is one API request inside its transaction. account is the owner of what
// it may see: a connected account named by Stripe-Account, or "" for the platform.
type call struct {
	*tx
	account string
	id      string // the {id} of the path
	path    string
	*params
}

type route struct {
	pattern string
	do      func(*call) (any, error)
}

// apiRoutes is every URL of the API that is served.
func apiRoutes() []route {
	return []route{
		{"GET /v1/account", ownAccount},
		{"POST /v1/accounts", createAccount},
		{"GET /v1/accounts", listAccounts},
		{"GET /v1/accounts/{id}", getAccount},
		{"POST /v1/accounts/{id}", updateAccount},
		{"POST /v1/accounts/{id}/login_links", createLoginLink},
		{"POST /v1/account_links", createAccountLink},

		{"POST /v1/checkout/sessions", createSession},
		{"GET /v1/checkout/sessions", listSessions},
		{"GET /v1/checkout/sessions/{id}", get[session](kSession, "session")},
		{"GET /v1/checkout/sessions/{id}/line_items", sessionLineItems},
		{"POST /v1/checkout/sessions/{id}/expire", expireSession},

		{"GET /v1/payment_intents", listIntents},
		{"GET /v1/payment_intents/{id}", get[intent](kIntent, "intent")},
		{"GET /v1/charges", listCharges},
		{"GET /v1/charges/{id}", get[charge](kCharge, "id")},

		{"POST /v1/refunds", createRefund},
		{"GET /v1/refunds", listRefunds},
		{"GET /v1/refunds/{id}", get[refund](kRefund, "refund")},
		{"GET /v1/disputes", listDisputes},
		{"GET /v1/disputes/{id}", get[dispute](kDispute, "dispute")},

		{"GET /v1/application_fees", listFees},
		{"GET /v1/application_fees/{id}", get[applicationFee](kFee, "id")},
		{"POST /v1/application_fees/{id}/refunds", createFeeRefund},
		{"GET /v1/application_fees/{id}/refunds", listFeeRefunds},
		{"POST /v1/transfers", createTransfer},
		{"GET /v1/transfers", listTransfers},
		{"GET /v1/transfers/{id}", get[transfer](kTransfer, "transfer")},
		{"POST /v1/transfers/{id}/reversals", createReversal},
		{"GET /v1/transfers/{id}/reversals", listReversals},
		{"GET /v1/balance", getBalance},
		{"GET /v1/balance_transactions", listTxns},
		{"GET /v1/balance_transactions/{id}", get[balanceTxn](kTxn, "id")},

		{"POST /v1/customers", createCustomer},
		{"GET /v1/customers", listCustomers},
		{"GET /v1/customers/{id}", get[customer](kCustomer, "id")},
		{"POST /v1/customers/{id}", updateCustomer},
		{"POST /v1/customers/{id}/balance_transactions", createBalanceTxn},
		{"GET /v1/invoices", listInvoices},
		{"GET /v1/invoices/upcoming", upcomingInvoice},
		{"GET /v1/invoices/{id}", get[invoice](kInvoice, "invoice")},

		{"POST /v1/products", createProduct},
		{"GET /v1/products", listProducts},
		{"GET /v1/products/{id}", get[product](kProduct, "id")},
		{"POST /v1/prices", createPrice},
		{"GET /v1/prices", listPrices},
		{"GET /v1/prices/{id}", get[planPrice](kPrice, "price")},
		{"GET /v1/subscriptions", listSubscriptions},
		{"GET /v1/subscriptions/{id}", get[subscription](kSubscription, "id")},
		{"POST /v1/subscriptions/{id}", updateSubscription},
		{"DELETE /v1/subscriptions/{id}", cancelSubscription},
		{"POST /v1/subscription_schedules", createSchedule},
		{"GET /v1/subscription_schedules/{id}", get[schedule](kSchedule, "schedule")},
		{"POST /v1/subscription_schedules/{id}", updateSchedule},
		{"POST /v1/subscription_schedules/{id}/release", releaseSchedule},
		{"POST /v1/billing_portal/sessions", createPortal},

		{"POST /v1/test_helpers/test_clocks", createTestClock},
		{"GET /v1/test_helpers/test_clocks", listTestClocks},
		{"GET /v1/test_helpers/test_clocks/{id}", get[testClock](kTestClock, "test_clock")},
		{"POST /v1/test_helpers/test_clocks/{id}/advance", advanceTestClock},
		{"DELETE /v1/test_helpers/test_clocks/{id}", deleteTestClock},

		{"POST /v1/webhook_endpoints", createEndpoint},
		{"GET /v1/webhook_endpoints", listEndpoints},
		{"GET /v1/webhook_endpoints/{id}", getEndpoint},
		{"POST /v1/webhook_endpoints/{id}", updateEndpoint},
		{"DELETE /v1/webhook_endpoints/{id}", deleteEndpoint},
		{"GET /v1/events", listEvents},
		{"GET /v1/events/{id}", get[event](kEvent, "id")},
	}
}

func (s *Sim) routeTable() http.Handler {
	mux := http.NewServeMux()
	for _, r := range apiRoutes() {
		mux.HandleFunc(r.pattern, s.serveAPI(r.do))
	}
	mux.HandleFunc("/v1/", s.serveAPI(nil))
	guard := http.NewCrossOriginProtection()
	for _, r := range s.pageRoutes() {
		mux.Handle(r.pattern, guard.Handler(s.servePage(r.show)))
	}
	return mux
}

// get is the handler that shows one object of the caller's account.
func get[T any](kind, param string) func(*call) (any, error) {
	return func(c *call) (any, error) { return find[T](c.tx, kind, c.account, c.id, param) }
}

// answer is what goes on the wire, and what an idempotency key keeps.
type answer struct {
	status   int
	body     []byte
	replayed bool
}

// keptKey is an idempotency key with its first answer.
type keptKey struct {
	head
	Fingerprint string          `json:"fingerprint"`
	Status      int             `json:"status"`
	Body        json.RawMessage `json:"body"`
}

func (s *Sim) serveAPI(do func(*call) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		requestID := "req_" + secret(14)
		h := w.Header()
		h.Set("Request-Id", requestID)
		h.Set("Stripe-Version", APIVersion)
		h.Set("Cache-Control", "no-cache, no-store")
		fault := s.nextFault(r)
		if fault != nil && !fault.AfterEffect {
			s.spoil(w, r, fault)
			return
		}
		a := s.api(r, do, requestID)
		if fault != nil {
			s.spoil(w, r, fault)
			return
		}
		if key := r.Header.Get("Idempotency-Key"); key != "" {
			h.Set("Idempotency-Key", key)
		}
		if a.replayed {
			h.Set("Idempotent-Replayed", "true")
		}
		h.Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body)
	}
}

func (s *Sim) api(r *http.Request, do func(*call) (any, error), requestID string) answer {
	form, err := readForm(r)
	if err == nil {
		err = checkCaller(r)
	}
	if err == nil && do == nil {
		err = &Error{Status: 404, Type: "invalid_request_error",
			Message: "Unrecognized request URL (" + r.Method + ": " + r.URL.Path + "). This simulator serves only what Shingle uses."}
	}
	if err != nil {
		return failed(err)
	}
	key := ""
	if r.Method == http.MethodPost {
		key = r.Header.Get("Idempotency-Key")
	}
	var a answer
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.locked(sweep)
	if err == nil {
		err = s.locked(func(t *tx) error {
			t.requestID, t.key = requestID, key
			owner, err := actingAccount(t, r.Header.Get("Stripe-Account"))
			if err != nil {
				return err
			}
			fingerprint := r.Method + " " + r.URL.Path + "?" + form.Encode()
			sum := sha256.Sum256([]byte(owner + "\x00" + key))
			keyID := "key_" + hex.EncodeToString(sum[:])
			if key != "" {
				if replay, err := t.replay(keyID, key, fingerprint); replay != nil || err != nil {
					if replay != nil {
						a = *replay
					}
					return err
				}
			}
			a, err = t.run(do, owner, r, form)
			if err != nil || key == "" {
				return err // what failed validation is not remembered
			}
			t.put(owner, &keptKey{head: head{ID: keyID, Object: kKey, Created: t.now.Unix()}, Fingerprint: fingerprint, Status: a.status, Body: a.body})
			return nil
		})
	}
	if err != nil {
		return failed(err)
	}
	return a
}

func (t *tx) run(do func(*call) (any, error), owner string, r *http.Request, form url.Values) (answer, error) {
	p := newParams(form)
	expand := p.list("expand")
	v, err := do(&call{tx: t, account: owner, id: r.PathValue("id"), path: r.URL.Path, params: p})
	if err == nil {
		err = p.done()
	}
	if err != nil {
		return answer{}, err
	}
	body, err := t.render(v, expand)
	return answer{status: http.StatusOK, body: body}, err
}

func (t *tx) replay(keyID, key, fingerprint string) (*answer, error) {
	r := t.row(keyID)
	if r == nil || t.now.Unix()-r.Created > int64(keyLife/time.Second) {
		return nil, nil
	}
	k := decode[keptKey](r)
	if k.Fingerprint != fingerprint {
		return nil, &Error{Status: 400, Type: "idempotency_error",
			Message: "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '" + key + "' if you meant to execute a different request."}
	}
	return &answer{status: k.Status, body: k.Body, replayed: true}, nil
}

// readForm reads parameters as the official clients send them.
func readForm(r *http.Request) (url.Values, error) {
	raw := r.URL.RawQuery
	if r.Method != http.MethodGet {
		b, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		if err != nil || len(b) > maxBody {
			return nil, invalid("", "", "The request body can't be read.")
		}
		raw = string(bytes.TrimSpace(b))
	}
	form, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("", "", "Invalid request: the form can't be parsed.")
	}
	return form, nil
}

func checkCaller(r *http.Request) error {
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		if user, _, basic := r.BasicAuth(); basic {
			key, ok = user, true
		}
	}
	switch {
	case !ok || key == "":
		return &Error{Status: 401, Type: "invalid_request_error", Message: "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."}
	case !strings.HasPrefix(key, "sk_test_"):
		return &Error{Status: 401, Type: "invalid_request_error", Code: "api_key_invalid", Message: "Invalid API Key provided: this simulator takes keys that begin with sk_test_."}
	}
	if v := r.Header.Get("Stripe-Version"); v != "" && v != APIVersion {
		return invalid("", "", "Invalid Stripe API version: %s. This simulator speaks %s.", v, APIVersion)
	}
	return nil
}

// actingAccount reads the Stripe-Account header.
func actingAccount(t *tx, id string) (string, error) {
	if id == "" || id == platformID(t) {
		return "", nil
	}
	if r := t.row(id); r == nil || r.Kind != kAccount {
		return "", noAccess(id)
	}
	return id, nil
}

func failed(err error) answer {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Status: 500, Type: "api_error", Message: "The simulator's state can't be used: " + err.Error()}
	}
	if e.Code != "" && e.DocURL == "" {
		c := *e
		c.DocURL = "https://stripe.com/docs/error-codes/" + strings.ReplaceAll(e.Code, "_", "-")
		e = &c
	}
	body, _ := json.Marshal(map[string]any{"error": e})
	return answer{status: e.Status, body: body}
}

// Failure is what befalls a request when a test asks for trouble.
type Failure struct {
	// Status answers with an error of Stripe's shape: 500, 503, 429, 409.
	Status int
	// Hang answers nothing until the client goes away; Drop closes the connection.
	Hang, Drop bool
	// AfterEffect lets the request take effect first: only its answer is lost.
	AfterEffect bool
	// Path, when set, picks requests whose URL path begins with it.
	Path string
	// Method, when set, picks requests of that method.
	Method string
}

type planned struct {
	left int
	Failure
}

// Fail makes the next n matching API requests fail.
func (s *Sim) Fail(n int, f Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &planned{left: n, Failure: f})
}

// Heal forgets failures that have not come up yet.
func (s *Sim) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

func (s *Sim) nextFault(r *http.Request) *Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.faults {
		if p.left > 0 && strings.HasPrefix(r.URL.Path, p.Path) && (p.Method == "" || p.Method == r.Method) {
			p.left--
			return &p.Failure
		}
	}
	return nil
}

func (s *Sim) spoil(w http.ResponseWriter, r *http.Request, f *Failure) {
	switch {
	case f.Hang:
		_, _ = io.Copy(io.Discard, r.Body) // or the server can't see the client leave
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case f.Drop:
		panic(http.ErrAbortHandler)
	}
	e := &Error{Status: f.Status, Type: "api_error", Message: "Something went wrong on Stripe's end (as a test asked)."}
	switch f.Status {
	case http.StatusTooManyRequests:
		e.Type, e.Code = "invalid_request_error", "rate_limit"
	case http.StatusConflict:
		e.Type, e.Code = "invalid_request_error", "lock_timeout"
	}
	a := failed(e)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}
