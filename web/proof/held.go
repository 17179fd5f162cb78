package proof

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/internal/fault"
	"shingle/mail"
	"shingle/tenant"
	"shingle/web/route"
)

// HeldFor is how long a form waits for its link; taken is how long a press of
// its button holds it.
const (
	HeldFor = 24 * time.Hour
	taken   = 2 * time.Minute
)

// held is a form as it was sent.
type held struct {
	Path   string     `json:"path"`
	Params gin.Params `json:"params"`
	Values url.Values `json:"values"`
	Files  []heldFile `json:"files,omitempty"`
	Multi  bool       `json:"multi,omitempty"`
}

type heldFile struct {
	Field string `json:"field"`
	Name  string `json:"name"`
	Data  []byte `json:"data"`
}

// maxHeld bounds the file of a form that waits, in bytes: more than any handler
// takes.
const maxHeld = 6 << 20

// read takes the form that the request's handler has parsed, with the one file
// that it knows, if any.
func read(c *gin.Context, file string) (*held, error) {
	h := &held{Path: c.Request.URL.Path, Params: c.Params, Values: url.Values{}}
	for name, values := range c.Request.PostForm {
		if name != Field && name != Trap {
			h.Values[name] = values
		}
	}
	m := c.Request.MultipartForm
	if m == nil {
		return h, nil
	}
	h.Multi = true
	for _, f := range m.File[file][:min(1, len(m.File[file]))] {
		if f.Size > maxHeld {
			return nil, fault.New(fault.Invalid, "form.unreadable")
		}
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		h.Files = append(h.Files, heldFile{file, f.Filename, data})
	}
	return h, nil
}

// body is the form once more.
func (h *held) body() ([]byte, string, error) {
	if !h.Multi {
		return []byte(h.Values.Encode()), "application/x-www-form-urlencoded", nil
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, values := range h.Values {
		for _, v := range values {
			if err := w.WriteField(name, v); err != nil {
				return nil, "", err
			}
		}
	}
	for _, f := range h.Files {
		part, err := w.CreateFormFile(f.Field, f.Name)
		if err == nil {
			_, err = part.Write(f.Data)
		}
		if err != nil {
			return nil, "", err
		}
	}
	err := w.Close()
	return b.Bytes(), w.FormDataContentType(), err
}

func hashOf(token string) []byte {
	h := sha256.Sum256([]byte("held form\x00" + token))
	return h[:]
}

// sealedFor binds a row to its board and its link.
func sealedFor(board tenant.ID, hash []byte) []byte { return append(board[:], hash...) }

// ConfirmPath is where a mailed link leads.
const ConfirmPath = "/confirm"

// Hold keeps the request's form and mails its link: what says in the board's
// words what it was, file is the form's field of a file or "". It opens a
// transaction. Kinds: fault.Invalid by the field
// "email", fault.TooMany.
func (s *Service) Hold(c *gin.Context, form, email, what, file string) error {
	ctx := c.Request.Context()
	t := tenant.From(ctx)
	address, err := accounts.Fold(email)
	if err != nil {
		return fault.Invalids(fault.Fields{"email": "field.email.invalid"})
	}
	err = accounts.Held.Allow(ctx, s.Limits, t.ID, network(c))
	if err == nil {
		err = accounts.HeldTo.Allow(ctx, s.Limits, t.ID, address)
	}
	if err == nil {
		err = accounts.Anywhere.Allow(ctx, s.Limits, tenant.Nil, address)
	}
	if err != nil {
		route.RetryAfter(c, err)
		return err
	}
	h, err := read(c, file)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(h)
	if err != nil {
		return err
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	token := base64.RawURLEncoding.EncodeToString(raw)
	hash := hashOf(token)
	sealed, err := s.Seal.Seal(plain, sealedFor(t.ID, hash))
	if err != nil {
		return err
	}
	now := s.Now()
	return s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO held_forms (tenant_id, hash, form, email, sealed, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			t.ID, hash, form, address, sealed, now, now.Add(HeldFor)).Exec(ctx)
		if err != nil {
			return err
		}
		return mail.Queue(ctx, tx, mail.Message{Kind: "form-held", Key: base64.RawURLEncoding.EncodeToString(hash[:12]), To: address, Locale: t.Locale,
			Data: mail.Data{"What": what, "Hours": int(HeldFor / time.Hour)}, URL: s.Links.Board(t, ConfirmPath+"?token="+token)})
	})
}

var errOver = fault.New(fault.Gone, "this link is over")

// Waiting reports which form waits for a link. Kind: fault.Gone for one that is
// spent, over or none.
func (s *Service) Waiting(ctx context.Context, token string) (form string, err error) {
	t := tenant.From(ctx)
	err = s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT form FROM held_forms WHERE tenant_id = ? AND hash = ? AND expires_at > ?`, t.ID, hashOf(token), s.Now()).Scan(ctx, &form)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = errOver
	}
	return form, err
}

// Confirm does what a held form asks for, by its own handler: once, for however
// many presses. What is refused stays, and its link with it. Kind: fault.Gone for
// a link that is spent, over or none, fault.Conflict while another press is at it.
// The caller must not have read its own form through gin, which keeps it.
func (s *Service) Confirm(c *gin.Context, token string, acts map[string]route.Handler) error {
	ctx := c.Request.Context()
	t, hash, now := tenant.From(ctx), hashOf(token), s.Now()
	var row struct {
		Form   string
		Sealed []byte
	}
	err := s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`UPDATE held_forms SET taken_until = ? WHERE tenant_id = ? AND hash = ? AND expires_at > ? AND (taken_until IS NULL OR taken_until < ?) RETURNING form, sealed`,
			now.Add(taken), t.ID, hash, now, now).Scan(ctx, &row)
	})
	if errors.Is(err, sql.ErrNoRows) {
		if _, err = s.Waiting(ctx, token); err == nil {
			return fault.New(fault.Conflict, "form.taken")
		}
		return err
	}
	if err != nil {
		return err
	}
	done := false
	defer func() { // a handler that panics gives it back, too
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		q := `UPDATE held_forms SET taken_until = NULL WHERE tenant_id = ? AND hash = ?`
		if done {
			q = `DELETE FROM held_forms WHERE tenant_id = ? AND hash = ?`
		}
		// Without this the lease ends by itself, and a second application of the same
		// address is refused as one.
		_ = s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			_, err := tx.NewRaw(q, t.ID, hash).Exec(ctx)
			return err
		})
	}()
	plain, err := s.Seal.Open(row.Sealed, sealedFor(t.ID, hash))
	if err != nil { // sealed by another installation's secret
		return fault.Wrap(err, fault.Gone, "this link is over")
	}
	h := new(held)
	if err := json.Unmarshal(plain, h); err != nil {
		return err
	}
	act := acts[row.Form]
	if act == nil {
		return fault.New(fault.Internal, "nothing does what the form %s asks for", row.Form)
	}
	if c.Request, err = confirmed(c, h); err != nil {
		return err
	}
	c.Params = h.Params
	if err = act(c); err == nil {
		done = c.Writer.Status() < http.StatusBadRequest
	}
	return err
}
