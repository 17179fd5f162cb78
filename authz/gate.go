package authz

import (
	"context"
	"fmt"

	"github.com/casbin/casbin/v2/model"
	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"
	"github.com/uptrace/bun"
	"golang.org/x/sync/singleflight"

	"shingle/internal/fault"
	"shingle/tenant"
)

// maxSets bounds the cached sets: about 10 MB.
const maxSets = 100_000

// Gate stands in front of every admin and staff route. casbin's Enforce walks
// every policy line, so an operator's permissions in a domain are resolved by
// casbin once per policy version into a Set, and requests check the set.
type Gate struct {
	platform *tenant.Platform
	model    model.Model
	sets     *otter.Cache[setKey, resolved]
	flight   singleflight.Group
}

type setKey struct {
	operator uuid.UUID
	board    tenant.ID
}

type resolved struct {
	version int64
	set     Set
}

// NewGate makes a gate that reads rules through the platform's door.
func NewGate(p *tenant.Platform) (*Gate, error) {
	m, err := model.NewModelFromString(modelText)
	if err != nil {
		return nil, fmt.Errorf("the casbin model: %w", err)
	}
	sets, err := otter.New(&otter.Options[setKey, resolved]{MaximumSize: maxSets})
	if err != nil {
		return nil, err
	}
	return &Gate{platform: p, model: m, sets: sets}, nil
}

// Permissions is what an operator may do on a board, or on the platform for
// tenant.Nil. version is the domain's policy version as the session's row said
// it: a set resolved under another version is never used, so a grant or its end
// holds from the next request on every replica. It opens a transaction when the
// set is not known.
//
// An operator without grants has an empty set, which is no error.
func (g *Gate) Permissions(ctx context.Context, operator uuid.UUID, board tenant.ID, version int64) (Set, error) {
	key := setKey{operator, board}
	if r, ok := g.sets.GetIfPresent(key); ok && r.version == version {
		return r.set, nil
	}
	if operator == uuid.Nil {
		return Set{}, nil
	}
	v, err, _ := g.flight.Do(fmt.Sprintf("%s %s %d", operator, board, version), func() (any, error) {
		set, err := g.resolve(context.WithoutCancel(ctx), operator, board)
		if err == nil {
			g.sets.Set(key, resolved{version, set})
		}
		return set, err
	})
	if err != nil {
		return Set{}, err
	}
	return v.(Set), nil
}

// Check is nil when the operator holds p in the domain. Kind: fault.Forbidden.
func (g *Gate) Check(ctx context.Context, operator uuid.UUID, board tenant.ID, version int64, p Permission) error {
	set, err := g.Permissions(ctx, operator, board, version)
	if err != nil {
		return err
	}
	if !set.Has(p) {
		return fault.New(fault.Forbidden, "your role does not include %s", p)
	}
	return nil
}

func (g *Gate) resolve(ctx context.Context, operator uuid.UUID, board tenant.ID) (Set, error) {
	var set Set
	err := g.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		set = Set{}
		e, err := newEnforcer(ctx, tx, g.model, Filter{Board: board, Operator: operator})
		if err != nil {
			return err
		}
		rules, err := e.GetImplicitPermissionsForUser(operator.String(), domain(board))
		if err != nil {
			return err
		}
		for _, r := range rules {
			if p, ok := Find(r[2], r[3]); ok {
				set.add(p)
			}
		}
		return nil
	})
	if err != nil {
		return Set{}, fmt.Errorf("resolving permissions: %w", err)
	}
	return set, nil
}
