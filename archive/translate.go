package archive

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// translate gives a row the new board's ids, file keys and links.
func (in *intake) translate(t *Table, row map[string]json.RawMessage) error {
	for _, c := range in.cols[t.Name] {
		v, ok := row[c.Name]
		if !ok || string(v) == "null" {
			continue
		}
		var err error
		switch {
		case slices.Contains(t.Files, c.Name):
			row[c.Name], err = in.fileKey(t.Name, v)
		case t.FilesIn[c.Name] != nil:
			err = inside(row, c.Name, func(m map[string]json.RawMessage) error {
				for _, member := range t.FilesIn[c.Name] {
					if k, ok := m[member]; ok {
						if m[member], err = in.fileKey(t.Name, k); err != nil {
							return err
						}
					}
				}
				return nil
			})
			if err == nil {
				row[c.Name] = in.links(row[c.Name])
			}
		case c.Type == "uuid":
			if slices.Contains(t.Operators, c.Name) || t.Actors[c.Name] != "" && text(row, t.Actors[c.Name]) != "person" {
				continue
			}
			row[c.Name] = json.RawMessage(in.ids(string(v)))
		case slices.Contains(t.IDs, c.Name):
			if t.Name == "audit_log" && c.Name == "object_id" && text(row, "object_kind") == "operator" {
				continue
			}
			row[c.Name] = json.RawMessage(in.ids(string(v)))
		case !t.History && (c.Type == "text" || c.Type == "jsonb"):
			row[c.Name] = in.links(v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fileKey puts a file's key under the new board; it must be one that an archive
// can hold.
func (in *intake) fileKey(table string, v json.RawMessage) (json.RawMessage, error) {
	var key string
	if err := json.Unmarshal(v, &key); err != nil {
		return nil, bad("a row of %s names a file in no way that is known", table)
	}
	if key == "" {
		return v, nil
	}
	if !filePart.MatchString("files/" + key) {
		return nil, bad("a row of %s names a file that no board has: %q", table, clip(key))
	}
	return compact(in.board.String() + "/" + in.ids(key))
}

var ownFile = regexp.MustCompile(`/(?:files|x)/logos/[0-9a-f-]{36}\.`)

// links makes a text's links to the old platform address and to the board's own
// pictures lead to the new ones. A board's own host stays: it moves along once
// it is proven here. v is JSON as it stands.
func (in *intake) links(v json.RawMessage) json.RawMessage {
	s := string(v)
	if !in.kept && strings.Contains(s, "/logos/") {
		s = ownFile.ReplaceAllStringFunc(s, in.ids)
	}
	if in.host == in.head.Board.Host || in.head.Board.Host == "" || !strings.Contains(s, "://"+in.head.Board.Host) {
		return json.RawMessage(s)
	}
	old := regexp.MustCompile(`https?://` + regexp.QuoteMeta(in.head.Board.Host) + `(?::[0-9]{1,5})?([/?#"\\<&\s)]|$)`)
	return json.RawMessage(old.ReplaceAllString(s, in.s.Links.Scheme+"://"+in.host+in.s.Links.Port+"${1}"))
}
