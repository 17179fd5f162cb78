package staff

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/domains"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// domainRow is a board's host as staff see it.
type domainRow struct {
	TenantID  tenant.ID  `bun:"tenant_id"`
	Board     string     `bun:"board"`
	Host      string     `bun:"host"`
	State     string     `bun:"state"`
	Canonical bool       `bun:"canonical"`
	CheckedAt *time.Time `bun:"checked_at"`
	ProvenAt  *time.Time `bun:"proven_at"`
	FlaggedAt *time.Time `bun:"flagged_at"`
	Lost      bool       `bun:"lost"`
	// Problem is what is wrong with its certificate, a code of certs.Problems.
	Problem   string     `bun:"problem"`
	HeldUntil *time.Time `bun:"held_until"`
	Total     int        `bun:"total"`
}

// Human is the host as people write it.
func (d domainRow) Human() string { return domains.Human(d.Host) }

// domainStates are the list's filters; trouble comes first in the list.
var domainStates = []string{"trouble", "checking", "proven", "live", "stuck", "removed"}

// A host in trouble is stuck, without its DNS records, or has a certificate that
// fails or runs out; see domains.Service's Trouble for a board's own.
const (
	domainLost     = `(d.state = 'live' AND NOT coalesce((d.report->>'points')::boolean, false))`
	domainProblem  = `CASE WHEN d.state <> 'removed' AND c.state <> 'dropped' THEN coalesce(c.problem, '') ELSE '' END`
	domainTroubled = `(d.state = 'stuck' OR d.state <> 'removed' AND d.flagged_at IS NOT NULL OR ` + domainLost + ` OR ` + domainProblem + ` <> '')`
	domainFrom     = ` FROM domains AS d LEFT JOIN certificates AS c ON c.host = d.host `
)

func readDomains(ctx context.Context, tx bun.IDB, q, state string, page int) ([]domainRow, error) {
	var rows []domainRow
	like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(q)) + "%"
	if n, err := domains.ParseName(q); err == nil {
		like = n.ASCII // somebody pasted a whole host
	}
	err := tx.NewRaw(`SELECT d.tenant_id, b.name AS board, d.host, d.state, coalesce(h.canonical, false) AS canonical, d.checked_at, d.proven_at, d.flagged_at, d.held_until,
			`+domainLost+` AS lost, `+domainProblem+` AS problem, count(*) OVER () AS total
		`+domainFrom+`JOIN boards AS b ON b.id = d.tenant_id LEFT JOIN hosts AS h ON h.host = d.host AND h.board_id = d.tenant_id
		WHERE (d.host LIKE ? OR b.slug LIKE ? OR lower(b.name) LIKE ?)
			AND (? = '' OR d.state = ? OR ? = 'trouble' AND `+domainTroubled+`)
		ORDER BY `+domainTroubled+` DESC, d.created_at DESC, d.host LIMIT ? OFFSET ?`,
		like, like, like, state, state, state, pageSize, (page-1)*pageSize).Scan(ctx, &rows)
	return rows, err
}

func (s *Staff) domainsCSV(c *gin.Context) error {
	out := newFile("domains", "board", "host", "state", "main", "checked", "proven", "flagged", "held_until")
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		for page := 1; len(out.rows) <= maxExport; page++ {
			rows, err := readDomains(ctx, tx, strings.TrimSpace(c.Query("q")), c.Query("state"), page)
			if err != nil || len(rows) == 0 {
				return err
			}
			for i := range rows {
				d := &rows[i]
				out.add(d.Board, d.Host, d.State, strconv.FormatBool(d.Canonical), stamp(d.CheckedAt), stamp(d.ProvenAt), stamp(d.FlaggedAt), stamp(d.HeldUntil))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return out.send(c)
}

// domains lists all boards' hosts.
func (s *Staff) domains(c *gin.Context) error {
	page, q, state := route.Page(c), strings.TrimSpace(c.Query("q")), c.Query("state")
	var rows []domainRow
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		rows, err = readDomains(ctx, tx, q, state, page)
		return err
	})
	if err != nil {
		return err
	}
	total := 0
	if len(rows) > 0 {
		total = rows[0].Total
	}
	return s.render(c, http.StatusOK, "domains", s.t(c, "staff.nav.domains"), map[string]any{"Rows": rows, "Q": q, "State": state, "States": domainStates,
		"CanRelease": s.Allowed(c, authz.Can("domain", "write")), "Pager": console.Pager(page, pageSize, total, c.Request.URL.Query())}, s.csvLink(c, "/staff/domains.csv"))
}

// releaseDomain ends the reservation of a removed host: its new owner has shown
// staff that it is theirs.
func (s *Staff) releaseDomain(c *gin.Context) error {
	board, err := tenant.ParseID(c.Param("id"))
	if err != nil {
		return fault.New(fault.NotFound, "reserved host not found")
	}
	err = s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		return s.Domains.Release(ctx, tx, board, c.PostForm("host"))
	})
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/staff/domains?ok=domain.released")
}
