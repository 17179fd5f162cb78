package certs

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// Problems are the codes of what can go wrong, each with its plain words; the
// catalogues have them under "cert.problem.<code>".
var Problems = map[string]string{
	"dns":        "The certificate authority found no address for this host, or its DNS server did not answer. Check the record at your DNS provider.",
	"connection": "The certificate authority could not reach this host. Its record must point here, and ports 80 and 443 must be open.",
	"elsewhere":  "Another server answered for this host: its record does not point here yet, or a proxy stands in front.",
	"caa":        "A CAA record of this domain does not allow our certificate authority. Add it to the record, or remove the record.",
	"unproven":   "The ownership record of this host is gone. Put it back; the order is repeated.",
	"rejected":   "The certificate authority does not issue for this host.",
	"refused":    "The certificate authority refused the order.",
	"limited":    "The certificate authority takes no more orders for now. The order waits until it does.",
	"week":       "This domain has had as many new certificates this week as the certificate authority allows. The order waits until one is free.",
	"failures":   "Several checks of this host failed within an hour. The order waits, so that the certificate authority does not lock the host out.",
	"busy":       "Very many certificates were ordered in the last hours. The order waits for its turn.",
	"away":       "The certificate authority does not answer. The order is repeated.",
	"internal":   "The certificate could not be ordered because of a fault on our side. The order is repeated.",
	"revoked":    "The authority that issued the certificate has revoked it, and browsers refuse it. A new one is ordered.",
	"expiring":   "The certificate that was brought runs out soon. Bring a new one, or leave it to us.",
}

// sentence is the plain words of a code.
func sentence(code string) string { return Problems[code] }

// verdict is what an order's error means: its code, how the order counts, the
// authority's own words, and until when it wants to hear no more.
type verdict struct {
	code, outcome, detail string
	hold                  time.Time
}

// judge reads an error of an order.
func judge(err error, now time.Time) verdict {
	v := verdict{code: "away", outcome: "away", detail: brief(err.Error())}
	var p acme.Problem
	if !errors.As(err, &p) {
		var ne net.Error
		if errors.As(err, &ne) || errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "HTTP 5") {
			return v
		}
		v.code = "internal"
		return v
	}
	if p.Type == acme.ProblemTypeCompound && len(p.Subproblems) > 0 {
		p = p.Subproblems[0].Problem
	}
	v.detail = brief(p.Detail)
	switch p.Type {
	case acme.ProblemTypeDNS:
		v.code, v.outcome = "dns", "failed"
	case acme.ProblemTypeConnection, acme.ProblemTypeTLS:
		v.code, v.outcome = "connection", "failed"
	case acme.ProblemTypeUnauthorized, acme.ProblemTypeIncorrectResponse:
		v.code, v.outcome = "elsewhere", "failed"
		if strings.Contains(p.Detail, "onnect") { // some say so when nobody answered
			v.code = "connection"
		}
	case acme.ProblemTypeCAA:
		v.code, v.outcome = "caa", "failed"
	case acme.ProblemTypeRejectedIdentifier, acme.ProblemTypeUnsupportedIdentifier:
		v.code, v.outcome = "rejected", "failed"
	case acme.ProblemTypeRateLimited:
		v.code, v.outcome, v.hold = "limited", "limited", holdOf(p.Detail, now)
	case acme.ProblemTypeServerInternal, acme.ProblemTypeBadNonce, acme.ProblemTypeOrderNotReady:
	default:
		switch {
		case strings.Contains(p.Detail, "resolve"): // said in the authority's own way
			v.code, v.outcome = "dns", "failed"
		case p.Status < 500:
			v.code, v.outcome = "refused", "failed"
		}
	}
	return v
}

// holdOf reads "retry after 2026-11-25 13:00:00 UTC" out of an authority's
// words (Let's Encrypt says it so); an hour when it is not there.
func holdOf(detail string, now time.Time) time.Time {
	if _, after, found := strings.Cut(detail, "retry after "); found && len(after) >= 23 {
		if at, err := time.Parse("2006-01-02 15:04:05 MST", after[:23]); err == nil && at.After(now) && at.Before(now.Add(8*24*time.Hour)) {
			return at
		}
	}
	return now.Add(time.Hour)
}

func brief(s string) string {
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// retryAfter is the wait after so many failures in a row: minutes while
// somebody may be mending a record, a day at most.
func retryAfter(failures int) time.Duration {
	steps := []time.Duration{2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour}
	return steps[min(max(failures, 1), len(steps))-1]
}
