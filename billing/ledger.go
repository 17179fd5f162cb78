package billing

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// The ledger's accounts. A buyer's payment comes out of AccountBuyer, so the
// lines of each transaction sum to zero: what the buyer paid is what owner,
// platform and Stripe have.
const (
	AccountBuyer    = "buyer"
	AccountOwner    = "owner"
	AccountPlatform = "platform_fee"
	AccountStripe   = "stripe_fee"
)

// Entry is one line of the ledger. Txn is the Stripe id of the movement.
type Entry struct {
	bun.BaseModel `bun:"table:ledger_entries,alias:le"`
	tenant.Scoped

	Txn      string     `bun:"txn"`
	Account  string     `bun:"account"`
	Amount   int64      `bun:"amount"`
	Currency string     `bun:"currency"`
	OrderID  *uuid.UUID `bun:"order_id,type:uuid"`
	StripeID string     `bun:"stripe_id"`
	At       time.Time  `bun:"at"`
}

// movement is one ledger transaction: accounts to amounts, which sum to zero.
type movement struct {
	Txn   string
	At    time.Time
	Lines map[string]int64
}

// movements turns facts into ledger transactions, each named by a Stripe id of
// its own, so that writing them again, in parts or in another order, ends in
// the same rows.
//
// Direct charges: owner pays Stripe's fee and the refunds, and gets the
// platform's fee back when it is refunded. Destination charges: the platform
// pays both, and takes the owner's part back by reversing the transfer.
func (f *facts) movements() []movement {
	if !f.Paid {
		return nil
	}
	payer := AccountOwner
	if f.Account == "" {
		payer = AccountPlatform
	}
	add := func(lines map[string]int64, account string, amount int64) map[string]int64 {
		lines[account] += amount
		return lines
	}
	var out []movement
	charge := map[string]int64{AccountBuyer: -f.Amount}
	add(charge, AccountOwner, f.Amount-f.Fee)
	out = append(out, movement{f.Charge, f.At, add(charge, AccountPlatform, f.Fee)})
	if f.Cost.Txn != "" && f.Cost.Amount != 0 {
		out = append(out, movement{f.Cost.Txn, f.At, map[string]int64{AccountStripe: f.Cost.Amount, payer: -f.Cost.Amount}})
	}
	for _, r := range f.Refunds {
		if r.Status == "succeeded" || r.Status == "pending" {
			out = append(out, movement{r.ID, r.At, map[string]int64{AccountBuyer: r.Amount, payer: -r.Amount}})
		} else if r.Status == "failed" || r.Status == "canceled" {
			// The money came back: the refund's own lines, undone, if they were written.
			out = append(out, movement{r.ID + ":failed", r.At, map[string]int64{AccountBuyer: -r.Amount, payer: r.Amount}})
		}
	}
	for _, r := range f.FeeRefunds {
		out = append(out, movement{r.ID, r.At, map[string]int64{AccountPlatform: -r.Amount, AccountOwner: r.Amount}})
	}
	for _, r := range f.Reversals {
		out = append(out, movement{r.ID, r.At, map[string]int64{AccountOwner: -r.Amount, AccountPlatform: r.Amount}})
	}
	return out
}

// record writes the movements that the ledger lacks. A transaction that does
// not sum to zero is refused: fault.Internal.
func (s *Service) record(ctx context.Context, tx bun.IDB, o *Order, f *facts) error {
	var rows []Entry
	for _, m := range f.movements() {
		if id, undone := undoes(m.Txn); undone {
			known, err := tenant.Exists(ctx, tx.NewSelect().Model((*Entry)(nil)).Where("le.txn = ?", id))
			if err != nil {
				return err
			}
			if !known {
				continue
			}
		}
		sum := int64(0)
		for _, account := range slices.Sorted(maps.Keys(m.Lines)) {
			amount := m.Lines[account]
			sum += amount
			if amount != 0 {
				id, _ := undoes(m.Txn)
				rows = append(rows, Entry{Txn: m.Txn, Account: account, Amount: amount, Currency: f.Currency, OrderID: &o.ID, StripeID: id, At: m.At})
			}
		}
		if sum != 0 {
			return fault.New(fault.Internal, "ledger transaction %s does not sum to zero", m.Txn)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	_, err := tx.NewInsert().Model(&rows).On("CONFLICT (tenant_id, txn, account) DO NOTHING").Exec(ctx)
	return err
}

// undoes splits the name of a transaction that takes a failed refund back.
func undoes(txn string) (id string, undone bool) {
	const mark = ":failed"
	if len(txn) > len(mark) && txn[len(txn)-len(mark):] == mark {
		return txn[:len(txn)-len(mark)], true
	}
	return txn, false
}

// Balance is what an account of the ledger holds, in minor units.
type Balance struct {
	Account  string `bun:"account"`
	Currency string `bun:"currency"`
	Amount   int64  `bun:"amount"`
}

// Balances sums the board's ledger by account and currency over [from, to);
// zero times do not bound. The owner's is what the sales brought, before payouts.
func (s *Service) Balances(ctx context.Context, tx bun.IDB, from, to time.Time) ([]Balance, error) {
	var out []Balance
	q := within(tx.NewSelect().Model((*Entry)(nil)), "le.at", from, to)
	err := q.ColumnExpr("le.account, le.currency, sum(le.amount)::bigint AS amount").GroupExpr("le.account, le.currency").
		OrderExpr("le.currency, le.account").Scan(ctx, &out)
	return out, err
}

// Statement lists the board's ledger lines over [from, to), oldest first.
func (s *Service) Statement(ctx context.Context, tx bun.IDB, from, to time.Time) ([]Entry, error) {
	var out []Entry
	err := within(tx.NewSelect().Model(&out), "le.at", from, to).Order("le.at", "le.txn", "le.account").Scan(ctx)
	return out, err
}

// EntriesOf lists the ledger lines of one order, oldest first.
func (s *Service) EntriesOf(ctx context.Context, tx bun.IDB, order uuid.UUID) ([]Entry, error) {
	var out []Entry
	err := tx.NewSelect().Model(&out).Where("le.order_id = ?", order).Order("le.at", "le.txn", "le.account").Scan(ctx)
	return out, err
}

// Unbalanced names ledger transactions of the board that do not sum to zero:
// there should never be one.
func (s *Service) Unbalanced(ctx context.Context, tx bun.IDB) ([]string, error) {
	var out []string
	err := tx.NewSelect().Model((*Entry)(nil)).ColumnExpr("le.txn").GroupExpr("le.txn, le.currency").Having("sum(le.amount) <> 0").Scan(ctx, &out)
	return out, err
}

func within(q *bun.SelectQuery, column string, from, to time.Time) *bun.SelectQuery {
	if !from.IsZero() {
		q = q.Where("? >= ?", bun.Safe(column), from)
	}
	if !to.IsZero() {
		q = q.Where("? < ?", bun.Safe(column), to)
	}
	return q
}
