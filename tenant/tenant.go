// Package tenant knows the boards: who a request is for, and the only door to
// a board's rows. It never knows what the rows mean. Start at Tenant, then DB
// (door.go), Scoped (scope.go) and Resolver (resolve.go).
package tenant

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"shingle/internal/fault"
)

// ID names a board. The nil ID is the platform itself.
type ID uuid.UUID

// Nil is the platform's own ID in tables that hold rows of both.
var Nil ID

// NewID makes a fresh ID, ordered by time.
func NewID() ID { return ID(uuid.Must(uuid.NewV7())) }

// ParseID reads the usual 36-character form. Kind: fault.Invalid.
func ParseID(s string) (ID, error) {
	u, err := uuid.Parse(s)
	if err != nil {
		return Nil, fault.New(fault.Invalid, "%q is not an id", s)
	}
	return ID(u), nil
}

func (id ID) String() string { return uuid.UUID(id).String() }

// IsNil reports the platform's own ID.
func (id ID) IsNil() bool { return id == Nil }

// Value implements driver.Valuer.
func (id ID) Value() (driver.Value, error) { return id.String(), nil }

// Scan implements sql.Scanner; a NULL becomes Nil.
func (id *ID) Scan(src any) error { return (*uuid.UUID)(id).Scan(src) }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(b []byte) error { return (*uuid.UUID)(id).UnmarshalText(b) }

// State of a board.
type State string

// The states of a board.
const (
	Active    State = "active"
	Suspended State = "suspended"
	Closed    State = "closed"
)

// Tenant is a board as a request sees it. Values are shared between requests
// and must not be changed.
type Tenant struct {
	ID           ID              `bun:"id,pk,type:uuid"`
	Slug         string          `bun:"slug"`
	Name         string          `bun:"name"`
	Tagline      string          `bun:"tagline"`
	Locale       string          `bun:"locale"`
	Currency     string          `bun:"currency"`
	TimeZone     string          `bun:"time_zone"`
	Country      string          `bun:"country"`
	ContactEmail string          `bun:"contact_email"`
	State        State           `bun:"state"`
	StateReason  string          `bun:"state_reason"`
	StateSince   time.Time       `bun:"state_since"`
	Moderated    bool            `bun:"moderated"`
	ChargeMode   string          `bun:"charge_mode"`
	FeeRule      json.RawMessage `bun:"fee_rule,type:jsonb"`
	Settings     json.RawMessage `bun:"settings,type:jsonb"`
	// PolicyVersion moves with every change of roles or grants on the board.
	PolicyVersion int64 `bun:"policy_version"`
	Demo          bool  `bun:"demo"`
	// PlanStep is how far an unpaid board has come down the ladder of its plan:
	// "" or a billing/plans.Step.
	PlanStep  string    `bun:"plan_step"`
	CreatedAt time.Time `bun:"created_at"`

	// Generation moves with every change that a visitor could see.
	Generation int64 `bun:"generation,scanonly"`
	// CanonicalHost is where the public pages live; PlatformHost always answers.
	CanonicalHost string `bun:"canonical_host,scanonly"`
	PlatformHost  string `bun:"platform_host,scanonly"`
	// Unconfirmed: this is the last known, as Postgres does not answer. Nothing
	// made from it may be kept: it can be older than its generation.
	Unconfirmed bool `bun:"-"`

	// Base is where the public pages live under the owner's own site, or nil.
	Base *Base `bun:"-"`
	// AsksConsent: staff comes into the console only after an owner's yes.
	AsksConsent bool `bun:"-"`
	// Access is how a visitor gets in; the zero value is open to everybody.
	Access Access `bun:"-"`

	location *time.Location
	// FlagRows are the flags that somebody set, by name; see Has.
	FlagRows json.RawMessage `bun:"flags,scanonly,type:jsonb"`
	off      []Flag
}

// Base is a place on the owner's own site, whose proxy asks the board.
type Base struct {
	Origin string `json:"origin"` // https://www.example.org
	Path   string `json:"path"`   // /careers
	// Active is set once a request has come through: links lead there from then on.
	Active bool `json:"active"`
}

// Access is how visitors get into a private board. Version moves with every
// change, so that earlier passes end.
type Access struct {
	Mode    string `json:"mode"`
	Version int64  `json:"version"`
}

// Based reports a board whose public pages live under the owner's own site.
func (t *Tenant) Based() bool { return t.Base != nil && t.Base.Active }

// Private reports a board that is closed to strangers.
func (t *Tenant) Private() bool { return t.Access.Mode != "" }

// settle reads what every request needs of the board's settings.
func (t *Tenant) settle() {
	t.location = location(t.TimeZone)
	t.off = nil
	var flags map[Flag]bool
	_ = json.Unmarshal(t.FlagRows, &flags) // our own rows; nothing is set when there are none
	for _, f := range Flags {
		if on, set := flags[f]; set && !on {
			t.off = append(t.off, f)
		}
	}
	var s struct {
		Base    *Base  `json:"base"`
		Access  Access `json:"access"`
		Support struct {
			Ask bool `json:"ask"`
		} `json:"support"`
	}
	if len(t.Settings) == 0 {
		return
	}
	if err := json.Unmarshal(t.Settings, &s); err != nil {
		// Whatever is unreadable, a private board must not open by it.
		t.Access.Mode = "unreadable"
		return
	}
	t.AsksConsent = s.Support.Ask
	if t.Access = s.Access; s.Base != nil && s.Base.Origin != "" && s.Base.Path != "" {
		t.Base = s.Base
	}
}

// Location is the board's time zone; UTC when its name is unknown here.
func (t *Tenant) Location() *time.Location {
	if t.location != nil {
		return t.location
	}
	return location(t.TimeZone)
}

func location(name string) *time.Location {
	l, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return l
}

// Midnight is the next midnight on the board after now.
func (t *Tenant) Midnight(now time.Time) time.Time {
	l := now.In(t.Location())
	return time.Date(l.Year(), l.Month(), l.Day()+1, 0, 0, 0, 0, l.Location())
}

type tenantKey struct{}

// With puts the board that a request or task is for into the context.
func With(ctx context.Context, t *Tenant) context.Context {
	return context.WithValue(ctx, tenantKey{}, t)
}

// From is the board in the context, or nil.
func From(ctx context.Context) *Tenant {
	t, _ := ctx.Value(tenantKey{}).(*Tenant)
	return t
}

// IDFrom is the ID of the board in the context.
//
// No board in the context is an error of kind fault.Internal, never "all".
func IDFrom(ctx context.Context) (ID, error) {
	t := From(ctx)
	if t == nil || t.ID.IsNil() {
		return Nil, fault.New(fault.Internal, "no board in the context")
	}
	return t.ID, nil
}

// ActorKind says what kind of person or thing acts.
type ActorKind string

// The kinds of actor.
const (
	Operator ActorKind = "operator"
	Person   ActorKind = "person"
	System   ActorKind = "system"
	Staff    ActorKind = "staff"
)

// Actor is who acts; System when nobody signed in does.
type Actor struct {
	Kind ActorKind
	ID   uuid.UUID
	// Label is for the audit log's personal part.
	Label string
	// Impersonator is the staff member who acts as ID, when one does, with the
	// label for the same place.
	Impersonator      uuid.UUID
	ImpersonatorLabel string
}

// NullImpersonator is the impersonator's ID for a nullable column.
func (a Actor) NullImpersonator() *uuid.UUID {
	if a.Impersonator == uuid.Nil {
		return nil
	}
	return &a.Impersonator
}

// NullID is the actor's ID for a nullable column.
func (a Actor) NullID() *uuid.UUID {
	if a.ID == uuid.Nil {
		return nil
	}
	return &a.ID
}

type actorKey struct{}

// WithActor puts who acts into the context.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom is who acts; System when the context names nobody.
func ActorFrom(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Actor{Kind: System}
}

type requestKey struct{}

// WithRequestID puts the request's id into the context.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestIDFrom is the request's id, or "".
func RequestIDFrom(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

func (t *Tenant) String() string { return fmt.Sprintf("board %s", t.Slug) }
