package isolation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"gocloud.dev/blob"
)

// sample bounds how many names are looked at in each store.
const sample = 20_000

// Names finds names that do not begin with the board they belong to.
type names struct {
	where, what string
	good        *regexp.Regexp
	seen, bad   int
	first       string
}

func (n *names) look(name string) {
	n.seen++
	if !n.good.MatchString(name) {
		if n.bad++; n.bad == 1 {
			n.first = name
		}
	}
}

func (n *names) into(r *Report, err error) {
	switch {
	case err != nil:
		r.add(n.where, n.what, Unknown, "it does not answer")
	case n.bad > 0:
		r.add(n.where, n.what, Crossed, fmt.Sprintf("%d of %d names, the first is %.80q", n.bad, n.seen, n.first))
	case n.seen == 0:
		r.add(n.where, n.what, Nothing, "there are no names yet")
	default:
		r.add(n.where, n.what, Refused, fmt.Sprintf("all of %d names begin with their board", n.seen))
	}
}

const uuidPattern = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

var (
	// accounts.Limiter's keys begin with rate, count or once. asynq's own hold no
	// tenant's data; a task's note names its board first.
	redisName = regexp.MustCompile(`^((rate|count|once):` + uuidPattern + `:|asynq[:{]|asynq$)`)
	blobName  = regexp.MustCompile(`^` + uuidPattern + `/`)
	indexName = regexp.MustCompile(`^listings_[0-9a-f]{32}(_|$)`)
	taskNote  = regexp.MustCompile(`"b":\s*"` + uuidPattern + `"`)
)

// Redis looks at the names of keys, and at the notes of waiting tasks.
func (r *Report) Redis(ctx context.Context, rdb redis.UniversalClient) {
	keys := &names{where: "Redis", what: "find a key without its board", good: redisName}
	it := rdb.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.seen < sample && it.Next(ctx) {
		keys.look(it.Val())
	}
	keys.into(r, it.Err())
	notes := &names{where: "Redis", what: "find a waiting task without its board", good: taskNote}
	err := it.Err()
	for _, queue := range []string{"critical", "default", "index", "mail", "bulk"} {
		ids, e := rdb.LRange(ctx, "asynq:{"+queue+"}:pending", 0, 500).Result()
		err = errors.Join(err, e)
		for _, id := range ids {
			msg, e := rdb.HGet(ctx, "asynq:{"+queue+"}:t:"+id, "msg").Result()
			if errors.Is(e, redis.Nil) {
				continue // done in between
			}
			err = errors.Join(err, e)
			notes.look(msg)
		}
	}
	notes.into(r, err)
}

// Files looks at the keys of the file store.
func (r *Report) Files(ctx context.Context, bucket *blob.Bucket) {
	keys := &names{where: "files", what: "find a file without its board", good: blobName}
	it := bucket.List(nil)
	var err error
	for keys.seen < sample {
		o, e := it.Next(ctx)
		if errors.Is(e, io.EOF) {
			break
		}
		if err = e; err != nil {
			break
		}
		keys.look(o.Key)
	}
	keys.into(r, err)
}

// Typesense looks at the names of collections and aliases, and at what the
// search-only keys may ask.
func (r *Report) Typesense(ctx context.Context, url, key string) {
	ask := func(path string, into any) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+path, http.NoBody)
		if err != nil {
			return err
		}
		req.Header.Set("X-Typesense-Api-Key", key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("typesense answers %d", res.StatusCode)
		}
		return json.NewDecoder(io.LimitReader(res.Body, 64<<20)).Decode(into)
	}
	found := &names{where: "Typesense", what: "find a collection or alias without its board", good: indexName}
	var collections []struct{ Name string }
	var aliases struct {
		Aliases []struct {
			Name       string
			Collection string `json:"collection_name"`
		}
	}
	err := errors.Join(ask("/collections?exclude_fields=fields", &collections), ask("/aliases", &aliases))
	for _, c := range collections {
		found.look(c.Name)
	}
	for _, a := range aliases.Aliases {
		found.look(a.Name)
		if !strings.HasPrefix(a.Collection, a.Name) {
			r.add("Typesense", "lead an alias to another board's collection", Crossed, a.Name+" leads to "+a.Collection)
		}
	}
	found.into(r, err)
	var keys struct {
		Keys []struct {
			Description          string
			Actions, Collections []string
		}
	}
	if err := ask("/keys", &keys); err != nil {
		r.add("Typesense", "search with one board's key in another's collection", Unknown, "it does not tell its keys")
		return
	}
	wide := &names{where: "Typesense", what: "search with one board's key in another's collection", good: regexp.MustCompile(`^(\^?listings_[0-9a-f]{32}[^|]*)$`)}
	for _, k := range keys.Keys {
		if strings.Join(k.Actions, ",") != "documents:search" {
			continue
		}
		wide.look(strings.Join(k.Collections, "|"))
	}
	wide.into(r, nil)
}
