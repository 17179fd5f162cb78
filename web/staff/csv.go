package staff

import (
	"encoding/csv"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"shingle/listings"
	"shingle/web/console"
)

// maxExport bounds a file: who wants more narrows the list.
const maxExport = 50_000

// file is a list as a table, for its CSV: cells are made safe for spreadsheets
// when they are written.
type file struct {
	name string
	rows [][]string
}

func newFile(name string, header ...string) *file { return &file{name, [][]string{header}} }

func (f *file) add(cells ...string) { f.rows = append(f.rows, cells) }

// send answers the table as a download.
func (f *file) send(c *gin.Context) error {
	c.Header("Content-Disposition", `attachment; filename="`+f.name+`.csv"`)
	c.Header("Content-Type", "text/csv; charset=utf-8")
	c.Status(http.StatusOK)
	w := csv.NewWriter(c.Writer)
	for _, row := range f.rows {
		for i, cell := range row {
			row[i] = listings.CSVCell(cell)
		}
		if err := w.Write(row); err != nil {
			return nil // the reader is gone; the answer has begun
		}
	}
	w.Flush()
	return nil
}

// stamp is a time in a file: UTC, ISO 8601; "" for none.
func stamp(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// csvLink is the list's button: the same filter as a file.
func (s *Staff) csvLink(c *gin.Context, path string) console.Link {
	q := c.Request.URL.Query()
	for _, k := range []string{"page", "before", "ok", "n"} {
		q.Del(k)
	}
	if e := q.Encode(); e != "" {
		path += "?" + e
	}
	return console.Link{Label: s.t(c, "shell.csv"), URL: path, Icon: "download"}
}
