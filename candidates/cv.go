package candidates

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"
	"github.com/google/uuid"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"shingle/internal/fault"
	"shingle/tenant"
)

// MaxCV is the largest CV taken, in bytes.
const MaxCV = 5 << 20

// cvTypes are the kinds of file taken, by extension.
var cvTypes = map[string]string{
	".pdf":  "application/pdf",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".odt":  "application/vnd.oasis.opendocument.text",
	".txt":  "text/plain",
}

// CVAccept is for the file input's accept attribute.
const CVAccept = ".pdf,.docx,.odt,.txt"

// checkCV holds the file against its own content: the name alone proves
// nothing. It returns the clean name and the type. Kind: fault.Invalid, field "cv".
func checkCV(name string, data []byte) (clean, kind string, err error) {
	bad := func(key string) (string, string, error) { return "", "", fault.Invalids(fault.Fields{"cv": key}) }
	switch {
	case len(data) == 0:
		return bad("apply.cv.empty")
	case len(data) > MaxCV:
		return bad("apply.cv.large")
	}
	ext := strings.ToLower(filepath.Ext(name))
	want, ok := cvTypes[ext]
	if !ok {
		return bad("apply.cv.type")
	}
	found := mimetype.Detect(data)
	match := found.Is(want)
	switch ext {
	case ".docx":
		match = match || found.Is("application/zip") && zipHas(data, "word/document.xml")
	case ".odt":
		match = match || found.Is("application/zip") && zipHas(data, "content.xml")
	case ".txt":
		match = found.Is("text/plain") && utf8.Valid(data) && !bytes.ContainsRune(data, 0)
	}
	if !match {
		return bad("apply.cv.content")
	}
	return cleanName(name, ext), want, nil
}

// CheckCV is checkCV for a stored file: its name has the extension that it was
// taken under. Kind: fault.Invalid, field "cv".
func CheckCV(name string, data []byte) (kind string, err error) {
	_, kind, err = checkCV(name, data)
	return kind, err
}

// KnownCVType reports a kind of file that is taken.
func KnownCVType(kind string) bool {
	for _, k := range cvTypes {
		if k == kind {
			return true
		}
	}
	return false
}

// zipHas looks into the directory of an archive without unpacking anything.
func zipHas(data []byte, name string) bool {
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return false
	}
	for _, f := range r.File {
		if f.Name == name {
			return true
		}
	}
	return false
}

// cleanName keeps a readable file name without anything that a header, a shell
// or a file system could stumble over.
func cleanName(name, ext string) string {
	base := strings.TrimSuffix(filepath.Base(strings.ReplaceAll(name, `\`, "/")), filepath.Ext(name))
	var b strings.Builder
	for _, r := range base {
		switch {
		case r < 0x20, r == 0x7f, strings.ContainsRune(`"'<>|*?:;%&$#@!=+{}[]()`+"`", r):
		default:
			b.WriteRune(r)
		}
		if b.Len() > 80 {
			break
		}
	}
	if s := strings.Trim(b.String(), " ."); s != "" {
		return s + ext
	}
	return "cv" + ext
}

// cvKey is where a CV is kept: the board first, as every key.
func cvKey(board tenant.ID, id uuid.UUID, name string) string {
	return board.String() + "/cv/" + id.String() + strings.ToLower(filepath.Ext(name))
}

func (s *Service) putCV(ctx context.Context, key, kind string, data []byte) error {
	err := s.Files.WriteAll(ctx, key, data, &blob.WriterOptions{ContentType: kind, ContentDisposition: "attachment"})
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the file could not be stored")
	}
	return nil
}

// eraseCV deletes the file; one that is gone already is fine.
func (s *Service) eraseCV(ctx context.Context, key string) error {
	err := s.Files.Delete(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return err
}

// openCV reads a stored CV. The caller closes it. Kind: fault.Gone.
func (s *Service) openCV(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := s.Files.NewReader(ctx, key, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fault.Wrap(err, fault.Gone, "cv.erased")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the CV cannot be read now")
	}
	return r, nil
}

// cvLinkFor is how long a mailed link to a CV lives.
const cvLinkFor = 7 * 24 * time.Hour

// CVToken signs a link to one CV of one listing, good until expires. It opens
// nothing by itself: the employer signs in as well.
func (s *Service) CVToken(board tenant.ID, listing, application uuid.UUID, expires time.Time) string {
	return s.cvToken("cv link v1", board, listing, application, expires)
}

func (s *Service) cvToken(purpose string, board tenant.ID, listing, application uuid.UUID, expires time.Time) string {
	var exp [8]byte
	binary.BigEndian.PutUint64(exp[:], uint64(expires.Unix())) // #nosec G115 -- a date
	return base64.RawURLEncoding.EncodeToString(append(exp[:], s.cvMAC(purpose, board, listing, application, exp[:])...))
}

func (s *Service) cvMAC(purpose string, board tenant.ID, listing, application uuid.UUID, exp []byte) []byte {
	m := hmac.New(sha256.New, s.Key)
	m.Write([]byte(purpose))
	m.Write(board[:])
	m.Write(listing[:])
	m.Write(application[:])
	m.Write(exp)
	return m.Sum(nil)[:20]
}

// checkCVToken answers fault.NotFound for a link that we did not make and
// fault.Gone for one that is too old.
func (s *Service) checkCVToken(board tenant.ID, listing, application uuid.UUID, token string) error {
	return s.checkToken("cv link v1", board, listing, application, token)
}

func (s *Service) checkToken(purpose string, board tenant.ID, listing, application uuid.UUID, token string) error {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 28 || !hmac.Equal(raw[8:], s.cvMAC(purpose, board, listing, application, raw[:8])) {
		return fault.New(fault.NotFound, "no such CV")
	}
	if s.Now().After(time.Unix(int64(binary.BigEndian.Uint64(raw[:8])), 0)) { // #nosec G115 -- signed above
		return fault.New(fault.Gone, "cv.expired")
	}
	return nil
}
