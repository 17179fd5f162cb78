package typesense

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"github.com/typesense/typesense-go/v3/typesense/api"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/seal"
	"shingle/tenant"
)

// Sealer keeps a board's search key unreadable in its row. What is sealed for
// one context cannot be opened for another.
type Sealer interface {
	Seal(plain, context []byte) ([]byte, error)
	Open(sealed, context []byte) ([]byte, error)
}

// NewSealer seals under a key made from the program's secret.
func NewSealer(secret []byte) (Sealer, error) { return seal.New("shingle search keys", secret) }

// server names the server in a key's row without its address.
func (e *Engine) server() string {
	sum := sha256.Sum256([]byte(e.options.URL))
	return hex.EncodeToString(sum[:8])
}

// storedKey is the board's search-only key, or "" when there is none that this
// program can open.
func (e *Engine) storedKey(ctx context.Context, board tenant.ID) (string, error) {
	var sealed []byte
	err := e.options.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT sealed FROM search_keys WHERE tenant_id = ? AND server = ?`, board, e.server()).Scan(ctx, &sealed)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	plain, err := e.options.Sealer.Open(sealed, board[:])
	if err != nil {
		return "", nil //nolint:nilerr // sealed with a secret of the past: made anew
	}
	return string(plain), nil
}

// keyName is how the server knows a board's keys when their row is gone.
func keyName(board tenant.ID) string { return "search of board " + board.String() }

// dropKeys deletes the keys of a board at the server, those too that another
// process or an earlier secret made, and forgets the client that holds one.
func (e *Engine) dropKeys(ctx context.Context, board tenant.ID) error {
	e.clients.Invalidate(board)
	all, err := e.admin.Keys().Retrieve(ctx)
	if err != nil {
		return fail(err, "listing keys")
	}
	for _, k := range all {
		if k.Description != keyName(board) || k.Id == nil {
			continue
		}
		if _, err := e.admin.Key(*k.Id).Delete(ctx); err != nil && status(err) != http.StatusNotFound {
			return fail(err, "deleting a search key")
		}
	}
	return nil
}

// newKey makes a key that searches this board's collections and nothing else,
// and keeps it sealed.
func (e *Engine) newKey(ctx context.Context, board tenant.ID) (string, error) {
	alias := aliasOf(board)
	k, err := e.admin.Keys().Create(ctx, &api.ApiKeySchema{
		Description: keyName(board),
		Actions:     []string{"documents:search"},
		Collections: []string{alias, alias + "_[0-9]+"},
	})
	if err != nil {
		return "", fail(err, "making a search key")
	}
	if k.Value == nil || k.Id == nil {
		return "", fault.New(fault.Internal, "typesense made a key and did not show it")
	}
	sealed, err := e.options.Sealer.Seal([]byte(*k.Value), board[:])
	if err != nil {
		return "", fmt.Errorf("sealing a search key: %w", err)
	}
	err = e.options.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO search_keys (tenant_id, server, key_id, sealed) VALUES (?, ?, ?, ?)
			ON CONFLICT (tenant_id) DO UPDATE SET server = excluded.server, key_id = excluded.key_id, sealed = excluded.sealed, created_at = now()`,
			board, e.server(), *k.Id, sealed).Exec(ctx)
		return err
	})
	return *k.Value, err
}
