package mail

import (
	"context"
	"slices"
	"strings"
	"time"

	"shingle/internal/fault"
)

// Lookup asks the DNS. Kinds: fault.NotFound for no such record; anything else
// means that nobody answered.
type Lookup interface {
	TXT(ctx context.Context, name string) ([]string, error)
	CNAME(ctx context.Context, name string) (string, error)
}

// CheckState is what a look found.
type CheckState string

// The outcomes of a check. Unknown: the DNS did not answer.
const (
	CheckOK      CheckState = "ok"
	CheckMissing CheckState = "missing"
	CheckWrong   CheckState = "wrong"
	CheckUnknown CheckState = "unknown"
)

// Check is one record that a domain should have, and what is there.
type Check struct {
	// Kind is "dkim", "dkim-new", "dkim-old", "spf", "dmarc" or "return".
	Kind string `json:"kind"`
	// Needed ones decide whether the domain may be used.
	Needed bool       `json:"needed"`
	State  CheckState `json:"state"`
	Type   string     `json:"type"`
	Name   string     `json:"name"`
	Want   string     `json:"want"`
	Found  string     `json:"found,omitempty"`
	// Note is a catalogue key that says what is odd about what was found.
	Note string `json:"note,omitempty"`
	// KeyID is the signing key's, for dkim checks.
	KeyID string `json:"key_id,omitempty"`
	// Until is when a retiring key's record may go.
	Until *time.Time `json:"until,omitempty"`
}

// dnsPatience bounds one look at all records of a domain.
const dnsPatience = 15 * time.Second

// look asks for every record of a domain.
func (s *Identities) look(ctx context.Context, domain string, keys []Key) []Check {
	ctx, cancel := context.WithTimeout(ctx, dnsPatience)
	defer cancel()
	out := wanted(domain, keys, s.SPF, s.ReturnDomain)
	for i := range out {
		c := &out[i]
		if c.Type == "CNAME" {
			s.lookCNAME(ctx, c)
			continue
		}
		found, err := s.DNS.TXT(ctx, c.Name)
		if c.State = stateOf(err); err != nil {
			continue
		}
		switch c.Kind {
		case "spf":
			readSPF(c, found, s.SPF)
		case "dmarc":
			readDMARC(c, found)
		default:
			readDKIM(c, found)
		}
	}
	return out
}

// wanted are the records that a domain should have, before anybody looked.
func wanted(domain string, keys []Key, spf, returnDomain string) []Check {
	var out []Check
	for i := range keys {
		k := &keys[i]
		c := Check{Kind: "dkim", Needed: true, State: CheckUnknown, Type: "TXT", Name: k.Selector + "._domainkey." + domain, Want: k.Record(), KeyID: k.ID.String()}
		switch {
		case k.State == RetiringKey:
			c.Kind, c.Needed, c.Until = "dkim-old", false, k.RetireAt
		case k.State == NewKey && len(keys) > 1:
			c.Kind, c.Needed = "dkim-new", false
		}
		out = append(out, c)
	}
	if spf != "" {
		out = append(out, Check{Kind: "spf", State: CheckUnknown, Type: "TXT", Name: domain, Want: "v=spf1 " + spf + " ~all"})
	}
	out = append(out, Check{Kind: "dmarc", State: CheckUnknown, Type: "TXT", Name: "_dmarc." + domain, Want: "v=DMARC1; p=none"})
	if returnDomain != "" {
		out = append(out, Check{Kind: "return", State: CheckUnknown, Type: "CNAME", Name: "bounce." + domain, Want: returnDomain})
	}
	return out
}

func stateOf(err error) CheckState {
	if err == nil || fault.Is(err, fault.NotFound) {
		return CheckMissing
	}
	return CheckUnknown
}

func (s *Identities) lookCNAME(ctx context.Context, c *Check) {
	found, err := s.DNS.CNAME(ctx, c.Name)
	c.State = stateOf(err)
	found = strings.TrimSuffix(strings.ToLower(found), ".")
	// A name without an alias is its own canonical name.
	if err != nil || found == "" || found == c.Name {
		return
	}
	c.Found, c.State = found, CheckWrong
	if found == c.Want {
		c.State = CheckOK
	}
}

// tags reads "k=v; k=v" (RFC 6376, 3.2), white space folded away from values.
func tags(record string) map[string]string {
	out := map[string]string{}
	for part := range strings.SplitSeq(record, ";") {
		if name, value, ok := strings.Cut(part, "="); ok {
			out[strings.ToLower(strings.TrimSpace(name))] = strings.Join(strings.Fields(value), "")
		}
	}
	return out
}

func readDKIM(c *Check, found []string) {
	want := tags(c.Want)["p"]
	for _, r := range found {
		t := tags(r)
		p, has := t["p"]
		if !has || t["v"] != "" && t["v"] != "DKIM1" {
			continue
		}
		c.Found = r
		if p == want {
			c.State = CheckOK
			return
		}
		c.State, c.Note = CheckWrong, "mail.note.other_key"
		switch {
		case p == "":
			c.Note = "mail.note.revoked"
		case strings.HasPrefix(want, p):
			// Consoles of some providers cut a value at 255 characters.
			c.Note = "mail.note.cut"
		}
	}
	if c.State == CheckMissing && len(found) > 0 {
		c.State, c.Found, c.Note = CheckWrong, found[0], "mail.note.no_key"
	}
}

// readSPF holds the domain's policy against the mechanisms that we need. More
// than one record is an error to every receiver (RFC 7208, 4.5).
func readSPF(c *Check, found []string, need string) {
	var policies []string
	for _, r := range found {
		if f := strings.ToLower(r); f == "v=spf1" || strings.HasPrefix(f, "v=spf1 ") {
			policies = append(policies, r)
		}
	}
	switch len(policies) {
	case 0:
		return
	case 1:
	default:
		c.State, c.Found, c.Note = CheckWrong, strings.Join(policies, " | "), "mail.note.spf_twice"
		return
	}
	c.Found = policies[0]
	terms := strings.Fields(strings.ToLower(c.Found))
	missing := []string{}
	for _, m := range strings.Fields(need) {
		if !slices.Contains(terms, strings.ToLower(m)) && !slices.Contains(terms, "+"+strings.ToLower(m)) {
			missing = append(missing, m)
		}
	}
	if len(missing) == 0 {
		c.State = CheckOK
		return
	}
	// What is there stays; ours goes before the part that ends the record.
	fields := strings.Fields(c.Found)
	at := len(fields)
	for i, f := range fields {
		if l := strings.ToLower(f); strings.HasSuffix(l, "all") && len(l) <= 4 || strings.HasPrefix(l, "redirect=") {
			at = i
			break
		}
	}
	c.State, c.Want, c.Note = CheckWrong, strings.Join(slices.Insert(fields, at, missing...), " "), "mail.note.spf_without"
}

func readDMARC(c *Check, found []string) {
	for _, r := range found {
		t := tags(r)
		if t["v"] != "DMARC1" {
			continue
		}
		c.Found, c.State = r, CheckOK
		switch strings.ToLower(t["p"]) {
		case "none", "quarantine", "reject":
		default:
			c.State, c.Note = CheckWrong, "mail.note.dmarc_policy"
		}
		return
	}
}
