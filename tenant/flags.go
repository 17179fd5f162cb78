package tenant

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
)

// Flag is a switch of the platform's staff: on or off for all boards, with
// exceptions for single ones. Its name is frozen.
type Flag string

// The flags. Each is on unless staff switches it off.
const (
	// FlagAPI is the public read API and its reference page.
	FlagAPI Flag = "api"
	// FlagAlerts lets visitors ask for job alerts; those that exist go on.
	FlagAlerts Flag = "alerts"
)

// Flags is every flag, in the order of the staff's page.
var Flags = []Flag{FlagAPI, FlagAlerts}

// Words is the key of the flag's human name, e.g. "flag.api".
func (f Flag) Words() string { return "flag." + string(f) }

// Has reports whether a flag is on for the board. It is read with the board's
// row, so a change holds everywhere as soon as the board's generation moves.
func (t *Tenant) Has(f Flag) bool { return !slices.Contains(t.off, f) }

// FlagSetting is a row of a flag: the platform's default, or a board's own.
type FlagSetting struct {
	Board ID   `bun:"tenant_id"`
	Flag  Flag `bun:"name"`
	Value bool `bun:"value"`
}

// FlagSettings lists what is set on the platform and on one board (on all of
// them for Nil), in a platform transaction.
func FlagSettings(ctx context.Context, tx bun.IDB, board ID) ([]FlagSetting, error) {
	var out []FlagSetting
	err := tx.NewRaw(`SELECT tenant_id, name, value FROM feature_flags
		WHERE ?::uuid = ?::uuid OR tenant_id IN (?, ?) ORDER BY tenant_id, name`, board, Nil, Nil, board).Scan(ctx, &out)
	return out, err
}

// SetFlag sets a flag on a board, or the default of all for Nil, in a platform
// transaction; nil removes what is set, so that a board follows the default
// again. Every board that it could change moves its generation. Kinds:
// fault.NotFound for an unknown flag or board.
func SetFlag(ctx context.Context, tx bun.IDB, board ID, f Flag, value *bool, by uuid.UUID) error {
	if !slices.Contains(Flags, f) {
		return fault.New(fault.NotFound, "no such flag")
	}
	if !board.IsNil() {
		res, err := tx.NewRaw(`UPDATE boards SET id = id WHERE id = ?`, board).Exec(ctx)
		if err := Touched(res, err, "board"); err != nil {
			return err
		}
	}
	var err error
	if value == nil {
		_, err = tx.NewRaw(`DELETE FROM feature_flags WHERE tenant_id = ? AND name = ?`, board, f).Exec(ctx)
	} else {
		_, err = tx.NewRaw(`INSERT INTO feature_flags (tenant_id, name, value, set_by) VALUES (?, ?, ?, ?)
			ON CONFLICT (tenant_id, name) DO UPDATE SET value = excluded.value, set_by = excluded.set_by, set_at = now()`, board, f, *value, by).Exec(ctx)
	}
	if err != nil {
		return err
	}
	if !board.IsNil() {
		ChangedBoard(ctx, board)
		return nil
	}
	// One statement for all boards, which the poll of each process hears of; a
	// notification of ten thousand ids would take longer than its second.
	_, err = tx.NewRaw(`UPDATE generations SET generation = generation + 1, changed_at = clock_timestamp()`).Exec(ctx)
	return err
}
