package domains

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"strings"

	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/mail"
	"shingle/tasks"
	"shingle/tenant"
)

// refused names hosts that can't be a board's: the platform's own, and all that
// lies beside or under them.
func (s *Service) refused(t *tenant.Tenant, host string) bool {
	for _, own := range []string{s.Links.PlatformHost, s.Links.BoardDomain, s.EdgeHost, s.FilesHost, t.PlatformHost, "localhost"} {
		if own == "" {
			continue
		}
		if zone := Zone(own); host == own || host == zone || strings.HasSuffix(host, "."+zone) {
			return true
		}
	}
	return false
}

// Add makes a host one that the board wants and begins to look for its records.
// A host that was removed lately comes back with its earlier token. It opens a
// transaction. Kinds: fault.Invalid (field "host"), fault.Conflict when it is
// on the list already or is another board's.
func (s *Service) Add(ctx context.Context, typed string, primary bool) (*Domain, error) {
	name, err := ParseName(typed)
	if err != nil {
		return nil, err
	}
	t := tenant.From(ctx)
	if s.refused(t, name.ASCII) {
		return nil, fault.Invalids(fault.Fields{"host": "domain.host.platform|" + name.Human})
	}
	var d *Domain
	err = s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		d, err = s.add(ctx, tx, t, name, primary)
		return err
	})
	return d, err
}

func (s *Service) add(ctx context.Context, tx bun.IDB, t *tenant.Tenant, name Name, primary bool) (*Domain, error) {
	if err := lock(ctx, tx, name.ASCII); err != nil {
		return nil, err
	}
	conflict := func(key string) error {
		return &fault.Error{Kind: fault.Conflict, Text: key, Fields: fault.Fields{"host": key + "|" + name.Human}}
	}
	taken, err := elsewhere(ctx, tx, t.ID, name.ASCII, s.Now())
	if err != nil {
		return nil, err
	}
	if taken {
		return nil, conflict("domain.host.in_use")
	}
	var waiting int
	if err := tx.NewRaw(`SELECT count(*) FROM domains WHERE tenant_id = ? AND state IN ('checking', 'stuck')`, t.ID).Scan(ctx, &waiting); err != nil {
		return nil, err
	}
	if waiting >= maxWaiting {
		return nil, conflict("domain.host.many")
	}
	now := s.Now()
	d, err := row(ctx, tx, t.ID, name.ASCII)
	switch {
	case err == nil && d.State != Removed:
		return nil, conflict("domain.host.added")
	case err == nil:
		*d = Domain{Scoped: d.Scoped, Host: d.Host, Token: d.Token, State: Checking, WantsPrimary: primary, CreatedAt: d.CreatedAt, Since: now, NextCheckAt: &now}
		err = save(ctx, tx, d)
	case fault.Is(err, fault.NotFound):
		d = &Domain{Scoped: tenant.Scoped{TenantID: t.ID}, Host: name.ASCII, Token: newToken(), State: Checking, WantsPrimary: primary, CreatedAt: now, Since: now, NextCheckAt: &now}
		_, err = tx.NewRaw(`INSERT INTO domains (tenant_id, host, token, wants_primary, created_at, since, next_check_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			t.ID, d.Host, d.Token, primary, now, now, now).Exec(ctx)
	}
	if err != nil {
		return nil, err
	}
	if err := tasks.Add(ctx, tx, tasks.New{Kind: taskCheck, Key: d.Host, Payload: checkPayload{d.Host}, Tenant: t.ID}); err != nil {
		return nil, err
	}
	return d, authz.Record(ctx, tx, authz.Act{Act: "domain.added", ObjectKind: "domain", ObjectID: d.Host, Board: t.ID})
}

// newToken is 160 random bits in letters that every form takes.
func newToken() string {
	raw := make([]byte, 20)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw))
}

// Remove ends a host: it stops being served everywhere, and a proven one stays
// reserved for the board for 30 days. The board's main address, when it was
// this one, is its platform address again. It opens a transaction.
// Kind: fault.NotFound.
func (s *Service) Remove(ctx context.Context, host string) error {
	t := tenant.From(ctx)
	return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := lock(ctx, tx, host); err != nil {
			return err
		}
		d, err := row(ctx, tx, t.ID, host)
		if err != nil {
			return err
		}
		if d.State == Removed {
			return errNotHere
		}
		var canonical []bool
		if err := tx.NewRaw(`DELETE FROM hosts WHERE host = ? AND board_id = ? AND kind = 'custom' RETURNING canonical`, host, t.ID).Scan(ctx, &canonical); err != nil {
			return err
		}
		if len(canonical) > 0 && canonical[0] {
			if err := s.setPrimary(ctx, tx, t.ID, t.PlatformHost); err != nil {
				return err
			}
		}
		if d.ProvenAt == nil {
			if _, err := tx.NewRaw(`DELETE FROM domains WHERE tenant_id = ? AND host = ?`, t.ID, host).Exec(ctx); err != nil {
				return err
			}
		} else {
			now := s.Now()
			d.State, d.RemovedAt, d.HeldUntil, d.NextCheckAt = Removed, &now, ptr(now.Add(holdFor)), nil
			if err := save(ctx, tx, d); err != nil {
				return err
			}
		}
		if s.Removed != nil {
			if err := s.Removed(ctx, tx, host); err != nil {
				return err
			}
		}
		if err := authz.Record(ctx, tx, authz.Act{Act: "domain.removed", ObjectKind: "domain", ObjectID: host, Board: t.ID}); err != nil {
			return err
		}
		return s.moved(ctx, tx, t.ID, host)
	})
}

// Primary makes a live host, or the platform address, the one where the public
// pages live. It opens a transaction. Kinds: fault.NotFound, fault.Conflict
// when the host is not live.
func (s *Service) Primary(ctx context.Context, host string) error {
	t := tenant.From(ctx)
	return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if host != t.PlatformHost {
			d, err := row(ctx, tx, t.ID, host)
			if err != nil {
				return err
			}
			if d.State == Removed {
				return errNotHere
			}
			if d.State != Live {
				return &fault.Error{Kind: fault.Conflict, Text: "domain.primary.not_live", Fields: fault.Fields{"host": "domain.primary.not_live|" + d.Human()}}
			}
		}
		if err := s.setPrimary(ctx, tx, t.ID, host); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "domain.primary", ObjectKind: "domain", ObjectID: host, Board: t.ID})
	})
}

func (s *Service) setPrimary(ctx context.Context, tx bun.IDB, board tenant.ID, host string) error {
	if _, err := tx.NewRaw(`UPDATE hosts SET canonical = false WHERE board_id = ? AND canonical AND host <> ?`, board, host).Exec(ctx); err != nil {
		return err
	}
	res, err := tx.NewRaw(`UPDATE hosts SET canonical = true WHERE board_id = ? AND host = ? AND verified_at IS NOT NULL`, board, host).Exec(ctx)
	if err := tenant.Touched(res, err, "host"); err != nil {
		return err
	}
	return s.moved(ctx, tx, board, host)
}

// moved makes every process ask anew about the board and all its hosts, after
// the commit; the generation is the net for those who miss the message.
func (s *Service) moved(ctx context.Context, tx bun.IDB, board tenant.ID, host string) error {
	var hosts []string
	if err := tx.NewRaw(`SELECT host FROM hosts WHERE board_id = ?`, board).Scan(ctx, &hosts); err != nil {
		return err
	}
	tenant.ChangedBoard(ctx, board)
	tenant.AfterCommit(ctx, func() {
		for _, h := range append(hosts, host) {
			s.Notifier.HostChanged(h)
		}
	})
	return nil
}

// BringCertificate hands an owner's own certificate for a proven host over.
// It opens a transaction. Kinds: fault.NotFound, fault.Conflict, fault.Invalid.
func (s *Service) BringCertificate(ctx context.Context, host, chainPEM, keyPEM string) error {
	if s.Bring == nil {
		return fault.New(fault.NotFound, "certificates are not handled here")
	}
	t := tenant.From(ctx)
	return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		d, err := row(ctx, tx, t.ID, host)
		if err != nil {
			return err
		}
		if d.ProvenAt == nil || d.State == Removed {
			return &fault.Error{Kind: fault.Conflict, Text: "domain.cert.unproven", Fields: fault.Fields{"chain": "domain.cert.unproven"}}
		}
		if err := s.Bring(ctx, tx, host, chainPEM, keyPEM); err != nil {
			return err
		}
		if err := tasks.Add(ctx, tx, tasks.New{Kind: taskCheck, Key: host, Payload: checkPayload{host}, Tenant: t.ID}); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "domain.certificate", ObjectKind: "domain", ObjectID: host, Board: t.ID})
	})
}

// Release ends the reservation of a removed host, in a platform transaction of
// staff: its new owner has shown that it is theirs. Kind: fault.NotFound.
func (s *Service) Release(ctx context.Context, tx bun.IDB, board tenant.ID, host string) error {
	if err := lock(ctx, tx, host); err != nil {
		return err
	}
	res, err := tx.NewRaw(`DELETE FROM domains WHERE tenant_id = ? AND host = ? AND state = ?`, board, host, Removed).Exec(ctx)
	if err := tenant.Touched(res, err, "reserved host"); err != nil {
		return err
	}
	return authz.RecordOnBoard(ctx, tx, board, authz.Act{Act: "domain.released", ObjectKind: "domain", ObjectID: host})
}

// MayOrder tells whether a certificate may be ordered for a host now: its
// ownership record is looked up again. While DNS does not answer, and for the
// first days after the record went missing, the earlier proof holds: the
// authority looks for itself. Kinds: fault.NotFound for a host that nobody has
// proven, fault.Forbidden when its proof is gone.
func (s *Service) MayOrder(ctx context.Context, host string) error {
	d := new(Domain)
	err := s.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT d.* FROM domains AS d JOIN hosts AS h ON h.host = d.host AND h.board_id = d.tenant_id
			WHERE d.host = ? AND d.proven_at IS NOT NULL AND d.state <> ? AND h.verified_at IS NOT NULL`, host, Removed).Scan(ctx, d)
	})
	if err != nil {
		return fault.Wrap(err, fault.NotFound, "nobody has proven %s", host)
	}
	_, proved, vanished := s.owner(ctx, d)
	if !proved && vanished && d.FlaggedAt != nil {
		return fault.New(fault.Forbidden, "the ownership record of %s is gone", host)
	}
	return nil
}

// tell writes to whom the board is reached at, else to its owners, in the
// board's language.
func (s *Service) tell(ctx context.Context, tx bun.IDB, t *tenant.Tenant, d *Domain, kind, once string) error {
	to := []string{t.ContactEmail}
	if t.ContactEmail == "" {
		to = nil
		members, err := authz.Members(ctx, tx, t.ID)
		if err != nil {
			return err
		}
		for _, m := range members {
			for _, role := range m.Roles {
				if role == authz.Owner {
					to = append(to, m.Email)
				}
			}
		}
	}
	for _, address := range to {
		err := mail.Queue(ctx, tx, mail.Message{Kind: kind, Key: d.Host + " " + once + " " + address, To: address, URL: s.Links.Console(t, "/admin/domains/"+d.Host),
			Data: mail.Data{"Host": d.Human(), "Record": OwnerRecord(d).Name}})
		if err != nil {
			return err
		}
	}
	return nil
}

func asJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "{}"
	}
	return string(raw)
}
