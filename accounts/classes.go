package accounts

import (
	"context"
	"time"

	"shingle/tenant"
)

// Class is a kind of request that strangers can send, and how often. All of them
// stand in docs/rate-limits.md, which TestRateLimitsAreDocumented holds to this.
type Class struct {
	// Name is the purpose in LimitKey, frozen.
	Name string
	// What it is and By whom it is counted, for people.
	What, By string
	Limit    Limit
}

// Allow counts one against a network, an address or whoever else the class goes
// by. Kind: fault.TooMany, with RetryAfter.
func (c Class) Allow(ctx context.Context, l *Limiter, board tenant.ID, about string) error {
	return l.Allow(ctx, LimitKey(board, c.Name, about), c.Limit)
}

const (
	byNetwork = "network and board"
	byAddress = "address and board"
	quarter   = 15 * time.Minute
)

// What strangers send to a board.
var (
	Applying   = Class{"apply", "applying", byNetwork, Limit{20, time.Hour}}
	Posting    = Class{"post", "posting a job", byNetwork, Limit{30, time.Hour}}
	PostingFor = Class{"post/to", "jobs posted in the name of one address", byAddress, Limit{20, 24 * time.Hour}}
	Alerting   = Class{"alert", "asking for an alert", byNetwork, Limit{20, time.Hour}}
	AskingData = Class{"data", "asking for one's own data", byNetwork, Limit{20, time.Hour}}
	Reporting  = Class{"report", "reporting a listing", byNetwork, Limit{10, time.Hour}}
	Entering   = Class{"gate", "entering a private board", byNetwork, Limit{20, quarter}}
	Typing     = Class{"suggest", "suggestions while typing a search", byNetwork, Limit{300, time.Minute}}
	Reading    = Class{"api", "requests to the API", byNetwork, Limit{600, time.Minute}}
	Downloads  = Class{"download", "files: CVs, CSV, exports, one's own data", byNetwork, Limit{120, 10 * time.Minute}}
	Webhooks   = Class{"webhook", "webhooks of Stripe and the mail server", "network", Limit{6000, time.Minute}}
	Challenges = Class{"challenge", "challenges for proofs of work", byNetwork, Limit{120, 10 * time.Minute}}
	Unproven   = Class{"unproven", "mails of forms without a proof of work", byNetwork, Limit{5, time.Hour}}
	Held       = Class{"held", "forms without a proof of work that wait for a link", byNetwork, Limit{10, time.Hour}}
	// Anywhere counts for the platform (tenant.Nil): boards share it.
	Anywhere = Class{"mail/anywhere", "mails that a stranger has sent to one address in a day, from all boards", "address", mailsAnywhere}
	HeldTo   = Class{"held/to", "such links mailed to one address", byAddress, Limit{5, 24 * time.Hour}}
)

// Classes are all limits, in the order of the page that documents them.
func Classes() []Class {
	return []Class{
		{"mail", "mails with a link or code to sign in, sign up, reset", byAddress, mailsPerAddress},
		{"mail/day", "the same in a day", byAddress, mailsPerDay},
		Anywhere,
		{"mail/ip", "the same", byNetwork, mailsPerNetwork},
		{"password", "signing in with a password", "account", passwordsPerAddress},
		{"password/ip", "the same", "network", passwordsPerNetwork},
		{"code/ip", "codes typed from a mail", byNetwork, codesPerNetwork},
		{"factor", "second factors", "account", factorsPerOperator},
		{"factor/ip", "the same, and passkeys", "network", factorsPerNetwork},
		{"prompt/ip", "asking for a passkey", "network", promptsPerNetwork},
		{"oidc/ip", "signing in at another provider", "network", promptsPerNetwork},
		Applying, Posting, PostingFor, Alerting, AskingData, Reporting, Entering, Typing, Reading, Downloads, Webhooks, Challenges, Unproven, Held, HeldTo,
	}
}
