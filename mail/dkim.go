package mail

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/google/uuid"
	"github.com/uptrace/bun"
	gomail "github.com/wneessen/go-mail"

	"shingle/tenant"
)

const (
	keyBits = 2048
	// overlap is how long the record of a key that signs no more must stay:
	// queued mail is given up after five days.
	overlap = 7 * 24 * time.Hour
)

// KeyState is what a signing key is for.
type KeyState string

// The states of a key: waiting for its record, signing, kept for mails under way.
const (
	NewKey      KeyState = "new"
	ActiveKey   KeyState = "active"
	RetiringKey KeyState = "retiring"
)

// Key is a board's signing key; its private part stays sealed in the row.
type Key struct {
	bun.BaseModel `bun:"table:dkim_keys,alias:dk"`
	tenant.Scoped
	ID       uuid.UUID  `bun:"id,pk"`
	Selector string     `bun:"selector"`
	Sealed   []byte     `bun:"sealed"`
	Public   string     `bun:"public"`
	State    KeyState   `bun:"state"`
	Created  time.Time  `bun:"created_at"`
	RetireAt *time.Time `bun:"retire_at"`
}

// Record is the TXT record that publishes the key (RFC 6376, 3.6.1).
func (k *Key) Record() string { return "v=DKIM1; k=rsa; p=" + k.Public }

// Keys are the board's keys, the oldest first.
func Keys(ctx context.Context, tx bun.IDB) ([]Key, error) {
	var out []Key
	err := tx.NewSelect().Model(&out).Order("dk.created_at", "dk.id").Scan(ctx)
	return out, err
}

func (s *Identities) newKey(ctx context.Context, tx bun.IDB) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	k := &Key{ID: tenant.NewRowID(), Public: base64.StdEncoding.EncodeToString(public), State: NewKey, Created: s.Now()}
	// Two boards may send from one domain: selectors never meet.
	name := make([]byte, 5)
	_, _ = rand.Read(name) // never fails since Go 1.24
	k.Selector = "m" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(name))
	if k.Sealed, err = s.Sealer.Seal(der, keyContext(board, k.ID)); err != nil {
		return err
	}
	_, err = tx.NewInsert().Model(k).Exec(ctx)
	return err
}

func keyContext(board tenant.ID, key uuid.UUID) []byte { return append(board[:], key[:]...) }

// signer is the active key of a verified board, or nil.
func (s *Identities) signer(k *Key) (crypto.Signer, error) {
	der, err := s.Sealer.Open(k.Sealed, keyContext(k.TenantID, k.ID))
	if err != nil {
		return nil, fmt.Errorf("the signing key %s cannot be opened: is SHINGLE_SECRET_KEY the one it was made under?", k.Selector)
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the signing key %s is of an unknown kind", k.Selector)
	}
	return signer, nil
}

// signed are the headers that a signature covers: what readers see and what
// acts on their behalf.
var signed = []string{"From", "To", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type",
	"List-Unsubscribe", "List-Unsubscribe-Post", "Auto-Submitted"}

// sign puts a DKIM-Signature on the message. The message keeps its boundaries
// from the first time that it is written, so what is signed is what is sent.
func sign(m *gomail.Msg, domain, selector string, key crypto.Signer) error {
	var raw, out bytes.Buffer
	if _, err := m.WriteTo(&raw); err != nil {
		return err
	}
	err := dkim.Sign(&out, &raw, &dkim.SignOptions{Domain: domain, Selector: selector, Signer: key, Hash: crypto.SHA256, HeaderKeys: signed,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed})
	if err != nil {
		return fmt.Errorf("signing for %s: %w", domain, err)
	}
	if !bytes.HasPrefix(out.Bytes(), []byte("DKIM-Signature:")) {
		return fmt.Errorf("signing for %s: no signature came out", domain)
	}
	m.SetGenHeaderPreformatted("DKIM-Signature", firstField(out.Bytes()))
	return nil
}

// firstField is the value of a message's first header field, folded as it is.
func firstField(raw []byte) string {
	end := 0
	for {
		i := bytes.Index(raw[end:], []byte("\r\n"))
		if i < 0 {
			break
		}
		end += i
		if next := end + 2; next >= len(raw) || raw[next] != ' ' && raw[next] != '\t' {
			break
		}
		end += 2
	}
	_, value, _ := bytes.Cut(raw[:end], []byte(":"))
	return strings.TrimSpace(string(value))
}
