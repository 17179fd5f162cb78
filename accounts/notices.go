package accounts

import (
	"context"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"shingle/mail"
	"shingle/tenant"
)

// PathSecurity is the operator's own page of how they sign in.
const PathSecurity = "/security"

// Notices are the changes of a sign-in that are told by mail; each is a flag of
// the mail's words.
var Notices = map[string]string{
	"passkey_added": "PasskeyAdded", "passkey_removed": "PasskeyRemoved", "totp_added": "AppAdded", "totp_removed": "AppRemoved",
	"codes_made": "CodesMade", "code_spent": "CodeSpent", "password_changed": "PasswordChanged", "address_changed": "AddressChanged",
	"identity_linked": "IdentityLinked", "identity_removed": "IdentityRemoved", "factors_forgotten": "FactorsForgotten",
}

// notice mails an operator what was changed about their sign-in, in the
// caller's transaction.
func (s *Operators) notice(ctx context.Context, tx bun.IDB, o *Operator, what, to string, n int) error {
	now := s.now()
	data := mail.Data{"At": now.UTC().Format("2006-01-02 15:04 MST")}
	for _, flag := range Notices {
		data[flag] = ""
	}
	data[Notices[what]] = "1"
	return mail.Queue(tenant.With(ctx, nil), tx, mail.Message{Kind: "operator-security", Key: what + "/" + o.ID.String() + "/" + now.Format(time.RFC3339Nano) + "/" + strconv.Itoa(n),
		To: to, Locale: o.Locale, URL: s.links.Platform(PathSecurity), Data: data})
}
