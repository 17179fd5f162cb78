// Package fault gives errors a kind, so that every edge (HTTP, command line,
// task) can answer from one table. It owns the kinds and how they are carried;
// it never renders anything. Start at Kind.
package fault

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Kind says what went wrong in terms of who must act.
type Kind int

const (
	// Internal: our own fault; the text is for the log, never for a user.
	Internal Kind = iota
	// Invalid: the caller's input must change; Fields names what.
	Invalid
	// NotFound: no such thing, or not for this caller.
	NotFound
	// Gone: it existed and is over for good.
	Gone
	// Conflict: the state of things does not allow it now.
	Conflict
	// SignIn: somebody must sign in first.
	SignIn
	// Forbidden: signed in, and not allowed.
	Forbidden
	// TooMany: the caller must slow down.
	TooMany
	// TooLarge: the body is over its limit.
	TooLarge
	// Unavailable: a part that we need is away; trying again may help.
	Unavailable
	// StepUp: signed in, but the second factor is missing or too long ago.
	StepUp
)

var kindNames = [...]string{"internal", "invalid", "not found", "gone", "conflict", "sign in", "forbidden", "too many", "too large", "unavailable", "step up"}

func (k Kind) String() string { return kindNames[k] }

// Error is an error with a kind. Its text may be shown to a user unless the
// kind is Internal; the cause never is.
type Error struct {
	Kind   Kind
	Text   string
	Fields Fields
	Cause  error
}

// Fields maps a form field's name to what must change about it.
type Fields map[string]string

func (e *Error) Error() string {
	text := e.Text
	if text == "" && len(e.Fields) > 0 {
		names := make([]string, 0, len(e.Fields))
		for n, t := range e.Fields {
			names = append(names, n+": "+t)
		}
		sort.Strings(names)
		text = strings.Join(names, "; ")
	}
	if e.Cause == nil {
		return text
	}
	if text == "" {
		return e.Cause.Error()
	}
	return text + ": " + e.Cause.Error()
}

func (e *Error) Unwrap() error { return e.Cause }

// New makes an error of a kind.
func New(k Kind, format string, args ...any) error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...)}
}

// Wrap gives a cause a kind and a text. A nil cause stays nil.
func Wrap(cause error, k Kind, format string, args ...any) error {
	if cause == nil {
		return nil
	}
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...), Cause: cause}
}

// Invalids is an Invalid error about fields, or nil when there is none.
func Invalids(f Fields) error {
	if len(f) == 0 {
		return nil
	}
	return &Error{Kind: Invalid, Fields: f}
}

// KindOf is the kind of the outermost Error in err's chain; Internal otherwise.
// A context that ran out counts as Unavailable.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Unavailable
	}
	return Internal
}

// Is reports whether err is of the kind.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }

// FieldsOf returns the field texts of an Invalid error, or nil.
func FieldsOf(err error) Fields {
	var e *Error
	if errors.As(err, &e) {
		return e.Fields
	}
	return nil
}

// TextOf is what a user may be told; empty when there is nothing fit to tell.
func TextOf(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Kind != Internal {
		return e.Text
	}
	return ""
}
