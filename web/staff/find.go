package staff

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
)

// hit is one thing that the console's search found.
type hit struct {
	Title string `bun:"title"`
	Note  string `bun:"note"`
	URL   string `bun:"url"`
}

// group is the hits of one kind; kinds that the role may not read are not asked for.
type group struct {
	Kind string
	Hits []hit
}

// perKind is how many hits of a kind are shown.
const perKind = 10

// searches are the kinds, in the order of the page. Each takes the folded words
// as ?0, the same as a pattern as ?1, as a number (0 for none) as ?2, the limit
// as ?3 and the words as typed as ?4: Stripe's ids know capitals.
var searches = []struct {
	kind string
	can  authz.Permission
	sql  string
}{
	{"boards", authz.Can("board", "read"), `SELECT b.name AS title, b.slug || ' · ' || b.state AS note, '/staff/boards/' || b.id AS url FROM boards AS b
		WHERE lower(b.name) LIKE ?1 OR b.slug LIKE ?1 OR b.id::text = ?0 ORDER BY (b.slug = ?0) DESC, b.created_at DESC LIMIT ?3`},
	{"hosts", authz.Can("domain", "read"), `SELECT h.host AS title, b.name AS note, '/staff/boards/' || b.id AS url FROM hosts AS h JOIN boards AS b ON b.id = h.board_id
		WHERE h.host LIKE ?1 ORDER BY (h.host = ?0) DESC, h.host LIMIT ?3`},
	{"operators", authz.Can("staff", "read"), `SELECT coalesce(nullif(o.name, ''), o.email) AS title, o.email || coalesce(' · ' || string_agg(DISTINCT b.name || ' (' || r.v1 || ')', ', '), '') AS note,
			coalesce('/staff/boards/' || min(b.id::text), '/staff/search?find=' || o.email) AS url
		FROM operators AS o LEFT JOIN casbin_rules AS r ON r.ptype = 'g' AND r.v0 = o.id::text LEFT JOIN boards AS b ON b.id = r.tenant_id
		WHERE o.email LIKE ?1 OR lower(o.name) LIKE ?1 GROUP BY o.id ORDER BY o.email LIMIT ?3`},
	{"orders", authz.Can("order", "read"), `SELECT b.name || ' #' || o.number AS title, o.state || ' · ' || to_char(o.created_at, 'YYYY-MM-DD') AS note, '/staff/boards/' || b.id AS url
		FROM orders AS o JOIN boards AS b ON b.id = o.tenant_id WHERE ?2 > 0 AND o.number = ?2 ORDER BY o.created_at DESC LIMIT ?3`},
	{"stripe", authz.Can("event", "read"), `SELECT * FROM (
		SELECT a.account AS title, b.name AS note, '/staff/boards/' || b.id AS url FROM stripe_accounts AS a JOIN boards AS b ON b.id = a.tenant_id WHERE a.account = ?4
		UNION ALL SELECT e.id, e.type || ' · ' || e.state, '/staff/events/' || e.id FROM stripe_events AS e WHERE ?0 LIKE 'evt\_%' AND e.id = ?4
		UNION ALL SELECT o.payment_intent, b.name || ' #' || o.number, '/staff/boards/' || b.id FROM orders AS o JOIN boards AS b ON b.id = o.tenant_id WHERE ?0 LIKE 'pi\_%' AND o.payment_intent = ?4
		UNION ALL SELECT o.charge, b.name || ' #' || o.number, '/staff/boards/' || b.id FROM orders AS o JOIN boards AS b ON b.id = o.tenant_id WHERE (?0 LIKE 'ch\_%' OR ?0 LIKE 'py\_%') AND o.charge = ?4
		UNION ALL SELECT k.id, b.name, '/staff/boards/' || b.id FROM checkout_sessions AS k JOIN boards AS b ON b.id = k.tenant_id WHERE ?0 LIKE 'cs\_%' AND k.id = ?4) AS s LIMIT ?3`},
	{"mails", authz.Can("mail", "read"), `SELECT m.recipient AS title, coalesce(b.name, '') || ' · ' || count(*) || ' · ' || to_char(max(m.created_at), 'YYYY-MM-DD') AS note, '/staff/mail?address=' || m.recipient AS url
		FROM mails AS m LEFT JOIN boards AS b ON b.id = m.tenant_id WHERE ?0 LIKE '%@%' AND m.recipient = ?0 GROUP BY m.recipient, b.name ORDER BY max(m.created_at) DESC LIMIT ?3`},
}

// find is the console's search over everything that the role may see.
func (s *Staff) find(c *gin.Context) error {
	words := strings.ToLower(strings.TrimSpace(c.Query("find")))
	var groups []group
	if len([]rune(words)) >= 2 || isNumber(words) {
		number, _ := strconv.ParseInt(strings.TrimPrefix(words, "#"), 10, 64) // 0 where it is none
		err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
			groups = nil
			for _, one := range searches {
				if !s.Allowed(c, one.can) {
					continue
				}
				var hits []hit
				if err := tx.NewRaw(one.sql, words, like(words), number, perKind, strings.TrimSpace(c.Query("find"))).Scan(ctx, &hits); err != nil {
					return err
				}
				if len(hits) > 0 {
					groups = append(groups, group{one.kind, hits})
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return s.render(c, http.StatusOK, "find", s.t(c, "staff.find.title"), map[string]any{"Words": c.Query("find"), "Groups": groups})
}

func isNumber(text string) bool {
	n, err := strconv.ParseInt(strings.TrimPrefix(text, "#"), 10, 64)
	return err == nil && n > 0
}
