package stripesim

import (
	"fmt"
	"strings"
)

// Error is an error as Stripe's API states it.
type Error struct {
	Status      int    `json:"-"`
	Type        string `json:"type"`
	Code        string `json:"code,omitempty"`
	DeclineCode string `json:"decline_code,omitempty"`
	Param       string `json:"param,omitempty"`
	Message     string `json:"message"`
	DocURL      string `json:"doc_url,omitempty"`
}

func (e *Error) Error() string { return e.Message }

func invalid(code, param, format string, args ...any) *Error {
	return &Error{Status: 400, Type: "invalid_request_error", Code: code, Param: param, Message: fmt.Sprintf(format, args...)}
}

var nouns = map[string]string{kSession: "checkout.session", kIntent: "payment_intent", kFee: "application fee", kTxn: "balance transaction", kEndpoint: "webhook endpoint"}

func missing(kind, id, param string) *Error {
	noun := nouns[kind]
	if noun == "" {
		noun = strings.TrimPrefix(kind, "sim.")
	}
	return &Error{Status: 404, Type: "invalid_request_error", Code: "resource_missing", Param: param,
		Message: fmt.Sprintf("No such %s: '%s'", noun, id)}
}

func noAccess(id string) *Error {
	return &Error{Status: 403, Type: "invalid_request_error", Code: "account_invalid",
		Message: fmt.Sprintf("The provided key does not have access to account '%s' (or that account does not exist). Application access may have been revoked.", id)}
}

func unsupported(param string) *Error {
	return invalid("parameter_unknown", param, "Received unknown parameter: %s (this simulator does not know it)", param)
}
