package candidates_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"testing"

	"shingle/candidates"
)

// office is a document whose parts say how large they will be, over bytes that
// nothing can unfold: whoever tries finds the file broken.
func office(t *testing.T, unfolded uint64, parts ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range parts {
		w, err := z.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Deflate, CompressedSize64: 4, UncompressedSize64: unfolded})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// An office file is told by its list of parts: none is unfolded, whatever it
// says of its size, so an archive that would fill the memory costs nothing.
func TestAnArchiveThatUnfoldsIsNotUnfolded(t *testing.T) {
	t.Parallel()
	many := []string{"[Content_Types].xml", "word/document.xml"}
	for n := range 20_000 {
		many = append(many, fmt.Sprint("word/media/", n))
	}
	for name, data := range map[string][]byte{
		"bomb.docx": office(t, 1<<40, "[Content_Types].xml", "_rels/.rels", "word/document.xml"),
		"bomb.odt":  office(t, 1<<40, "mimetype", "content.xml"),
		"many.docx": office(t, 1<<40, many...),
	} {
		if len(data) > candidates.MaxCV {
			t.Fatalf("%s is %d bytes", name, len(data))
		}
		if _, err := candidates.CheckCV(name, data); err != nil {
			t.Errorf("%s was looked into: %v", name, err)
		}
	}
	// What is not there is not believed for its name.
	if _, err := candidates.CheckCV("bomb.docx", office(t, 1, "content.xml")); err == nil {
		t.Error("any archive is a CV")
	}
}
