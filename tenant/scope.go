package tenant

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"shingle/internal/fault"
)

// Scoped is embedded by every model of a board's row. Its hooks put the board
// of the context on inserts and updates, and a WHERE on reads and writes, so
// that plans use the index and a mistake shows as a missing row.
//
// Bun runs the select hook for Scan only: use Count and Exists of this package
// for counting, and name the tenant in both columns of a Relation's join.
// Row level security stands behind all of it.
type Scoped struct {
	TenantID ID `bun:"tenant_id,pk,type:uuid"`
}

var (
	_ bun.BeforeAppendModelHook = (*Scoped)(nil)
	_ bun.BeforeSelectHook      = (*Scoped)(nil)
	_ bun.BeforeUpdateHook      = (*Scoped)(nil)
	_ bun.BeforeDeleteHook      = (*Scoped)(nil)
)

// BeforeAppendModel sets the tenant on what is written. A row that names
// another board is refused: fault.Internal.
func (s *Scoped) BeforeAppendModel(ctx context.Context, q schema.Query) error {
	switch q.(type) {
	case *bun.InsertQuery, *bun.UpdateQuery, *bun.DeleteQuery:
		id, err := bound(ctx)
		if err != nil {
			return err
		}
		if s.TenantID != Nil && s.TenantID != id {
			return fault.New(fault.Internal, "a row of another board")
		}
		s.TenantID = id
	}
	return nil
}

// BeforeSelect adds the tenant to the WHERE.
func (s *Scoped) BeforeSelect(ctx context.Context, q *bun.SelectQuery) error {
	id, err := bound(ctx)
	if err != nil {
		return err
	}
	q.Where("?TableAlias.tenant_id = ?", id)
	return nil
}

// BeforeUpdate adds the tenant to the WHERE.
func (s *Scoped) BeforeUpdate(ctx context.Context, q *bun.UpdateQuery) error {
	id, err := bound(ctx)
	if err != nil {
		return err
	}
	q.Where("?TableAlias.tenant_id = ?", id)
	return nil
}

// BeforeDelete adds the tenant to the WHERE.
func (s *Scoped) BeforeDelete(ctx context.Context, q *bun.DeleteQuery) error {
	id, err := bound(ctx)
	if err != nil {
		return err
	}
	q.Where("?TableAlias.tenant_id = ?", id)
	return nil
}

// Count counts the rows of a query on a scoped model. Bun's own Count skips
// the hook; this one does not.
func Count(ctx context.Context, q *bun.SelectQuery) (int, error) {
	id, err := bound(ctx)
	if err != nil {
		return 0, err
	}
	n, err := q.Where("?TableAlias.tenant_id = ?", id).Count(ctx)
	return int(n), err
}

// Exists reports whether a query on a scoped model has a row.
func Exists(ctx context.Context, q *bun.SelectQuery) (bool, error) {
	id, err := bound(ctx)
	if err != nil {
		return false, err
	}
	return q.Where("?TableAlias.tenant_id = ?", id).Exists(ctx)
}

// One scans a single row and turns "no rows" into fault.NotFound with the
// given text.
func One(ctx context.Context, q *bun.SelectQuery, what string) error {
	err := q.Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return fault.Wrap(err, fault.NotFound, "%s not found", what)
	}
	return err
}

// Touched turns an update or delete that met no row into fault.NotFound.
func Touched(res sql.Result, err error, what string) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("rows affected: %w", err)
	}
	if n == 0 {
		return fault.New(fault.NotFound, "%s not found", what)
	}
	return nil
}

// NewRowID makes an id for a board's row, ordered by time.
func NewRowID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// bound is the tenant of the context; the platform's door binds Nil.
func bound(ctx context.Context) (ID, error) {
	if tx := txFrom(ctx); tx != nil && tx.platform {
		return Nil, fault.New(fault.Internal, "a scoped model in a platform transaction: use plain SQL there")
	}
	return IDFrom(ctx)
}
