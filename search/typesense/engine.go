// Package typesense is the search engine on a Typesense server: a collection
// per board behind an alias, searched with a key that opens that board alone.
// It never decides what is live and never holds the only copy of anything.
// Start at Engine, then search.go; schema.go says what a document becomes.
package typesense

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"
	ts "github.com/typesense/typesense-go/v3/typesense"
	"github.com/typesense/typesense-go/v3/typesense/api"

	"shingle/internal/fault"
	"shingle/internal/observe"
	"shingle/search"
	"shingle/tenant"
)

// Options say where the server is and how to keep keys.
type Options struct {
	// URL is the server's address; Key may make collections and keys.
	URL, Key string
	DB       *tenant.DB
	Sealer   Sealer
	// Timeout bounds one request; 10 s when zero. Searches are bounded by their
	// context besides.
	Timeout time.Duration
	Now     func() time.Time
}

// Engine implements search.Engine.
type Engine struct {
	options Options
	admin   *ts.Client
	clients *otter.Cache[tenant.ID, *ts.Client]
	// writing orders this process's writes of a board: reading the versions held
	// and writing are two requests.
	writing [64]sync.Mutex
}

var _ search.Engine = (*Engine)(nil)

// New makes the engine; it asks the server for nothing yet.
func New(o Options) *Engine {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.URL = strings.TrimRight(o.URL, "/")
	e := &Engine{options: o, clients: otter.Must(&otter.Options[tenant.ID, *ts.Client]{MaximumSize: 10_000})}
	e.admin = e.client(o.Key)
	return e
}

func (e *Engine) client(key string) *ts.Client {
	// The client's own options know no transport, and put a breaker around the one
	// they make; the service has its own, which knows where else to ask.
	asks := ts.NewAPICall(&http.Client{Timeout: e.options.Timeout, Transport: observe.Transport(nil, "typesense")}, &ts.ClientConfig{ServerURL: e.options.URL, APIKey: key})
	client, err := api.NewClientWithResponses(e.options.URL, api.WithAPIKey(key), api.WithHTTPClient(asks))
	if err != nil {
		panic(err) // only an option of ours can fail, and none does
	}
	return ts.NewClient(ts.WithAPIClient(client))
}

// Name is "typesense".
func (e *Engine) Name() string { return "typesense" }

// fail gives an error of the server its kind, and leaves keys out of it.
func fail(err error, what string) error {
	if err == nil {
		return nil
	}
	var he *ts.HTTPError
	if !errors.As(err, &he) {
		if errors.Is(err, context.Canceled) {
			return err
		}
		return fault.Wrap(errors.New("no answer"), fault.Unavailable, "typesense: %s", what)
	}
	return failed(he.Status, string(he.Body), what)
}

func failed(status int, body, what string) error {
	kind := fault.Internal
	switch {
	case status == http.StatusNotFound:
		kind = fault.NotFound
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		kind = fault.Invalid
	case status >= 500, status == http.StatusTooManyRequests:
		kind = fault.Unavailable
	}
	var m struct {
		Message string `json:"message"`
	}
	if json.Unmarshal([]byte(body), &m) == nil && m.Message != "" {
		body = m.Message
	}
	return fault.Wrap(fmt.Errorf("status %d: %.200s", status, body), kind, "typesense: %s", what)
}

// Health reads the body: the server answers 200 {"ok": false} while it starts.
func (e *Engine) Health(ctx context.Context) error {
	ok, err := e.admin.Health(ctx, min(e.options.Timeout, 2*time.Second))
	if err != nil {
		return fail(err, "health")
	}
	if !ok {
		return fault.New(fault.Unavailable, "typesense is not ready")
	}
	return nil
}

// Ensure makes the board's collection, alias and search key where missing.
func (e *Engine) Ensure(ctx context.Context) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	alias := aliasOf(board)
	if _, err := e.target(ctx, alias); fault.Is(err, fault.NotFound) {
		name := alias + "_1"
		if _, err := e.admin.Collections().Create(ctx, schema(name)); err != nil && status(err) != http.StatusConflict {
			return fail(err, "making a collection")
		}
		if err := e.point(ctx, alias, name); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	_, err = e.searcher(ctx, board, false)
	return err
}

func status(err error) int {
	var he *ts.HTTPError
	if errors.As(err, &he) {
		return he.Status
	}
	return 0
}

// target is the collection behind the board's alias, which exists.
func (e *Engine) target(ctx context.Context, alias string) (string, error) {
	a, err := e.admin.Alias(alias).Retrieve(ctx)
	if err != nil {
		return "", fail(err, "reading an alias")
	}
	// An alias may point at nothing.
	if _, err := e.admin.Collection(a.CollectionName).Retrieve(ctx); err != nil {
		return "", fail(err, "reading a collection")
	}
	return a.CollectionName, nil
}

func (e *Engine) point(ctx context.Context, alias, collection string) error {
	_, err := e.admin.Aliases().Upsert(ctx, alias, &api.CollectionAliasSchema{CollectionName: collection})
	return fail(err, "pointing the alias")
}

func number(collection string) int {
	n, _ := strconv.Atoi(collection[strings.LastIndexByte(collection, '_')+1:])
	return n
}

func (e *Engine) lock(board tenant.ID) *sync.Mutex {
	h := fnv.New32a()
	_, _ = h.Write(board[:])
	return &e.writing[h.Sum32()%uint32(len(e.writing))]
}

// places are the collections that a write goes to: the one that is searched,
// then the one that a rebuild is filling, if there is one.
func (e *Engine) places(ctx context.Context, board tenant.ID) ([]string, error) {
	alias := aliasOf(board)
	current, err := e.target(ctx, alias)
	if fault.Is(err, fault.NotFound) {
		if err := e.Ensure(ctx); err != nil {
			return nil, err
		}
		current, err = e.target(ctx, alias)
	}
	if err != nil {
		return nil, err
	}
	return []string{current, alias + "_" + strconv.Itoa(number(current)+1)}, nil
}

// Upsert writes documents that are not older than what is held. Between two
// processes the service's second look at the listing decides.
func (e *Engine) Upsert(ctx context.Context, docs ...search.Document) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil || len(docs) == 0 {
		return err
	}
	mu := e.lock(board)
	mu.Lock()
	defer mu.Unlock()
	places, err := e.places(ctx, board)
	if err != nil {
		return err
	}
	if err := e.put(ctx, places[0], docs); err != nil {
		return err
	}
	if err := e.put(ctx, places[1], docs); err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return nil
}

const putBatch = 200

// put writes into one collection what is newer there, and reads the result of
// each line: an import answers 200 whatever happens.
func (e *Engine) put(ctx context.Context, collection string, docs []search.Document) error {
	for batch := range slices.Chunk(docs, putBatch) {
		ids := make([]string, len(batch))
		for i := range batch {
			ids[i] = batch[i].ID.String()
		}
		held, err := e.held(ctx, collection, ids)
		if err != nil {
			return err
		}
		var body bytes.Buffer
		enc := json.NewEncoder(&body)
		sent := 0
		for i := range batch {
			d := &batch[i]
			if v, ok := held[d.ID]; ok && v > d.Version {
				continue
			}
			held[d.ID] = d.Version
			if err := enc.Encode(documentOf(d)); err != nil {
				return fmt.Errorf("typesense document: %w", err)
			}
			sent++
		}
		if sent == 0 {
			continue
		}
		if err := e.load(ctx, collection, &body, sent); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) load(ctx context.Context, collection string, body *bytes.Buffer, sent int) error {
	answer, err := e.admin.Collection(collection).Documents().ImportJsonl(ctx, body,
		&api.ImportDocumentsParams{Action: ptr(api.Upsert), BatchSize: ptr(putBatch)})
	if err != nil {
		return fail(err, "importing")
	}
	defer func() { _ = answer.Close() }()
	lines := 0
	sc := bufio.NewScanner(answer)
	sc.Buffer(nil, 4<<20)
	for sc.Scan() {
		if len(bytes.TrimSpace(sc.Bytes())) == 0 {
			continue
		}
		var line struct {
			Success bool   `json:"success"`
			Code    int    `json:"code"`
			Error   string `json:"error"`
		}
		if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
			return fault.Wrap(err, fault.Unavailable, "typesense: an import's answer cannot be read")
		}
		if !line.Success {
			return failed(line.Code, line.Error, "importing a document")
		}
		lines++
	}
	if err := sc.Err(); err != nil || lines != sent {
		return fault.New(fault.Unavailable, "typesense: %d of %d documents were confirmed", lines, sent)
	}
	return nil
}

// held are the versions of those listings in a collection.
func (e *Engine) held(ctx context.Context, collection string, ids []string) (map[uuid.UUID]int64, error) {
	r, err := e.admin.MultiSearch.Perform(ctx, &api.MultiSearchParams{}, api.MultiSearchSearchesParameter{
		Searches: []api.MultiSearchCollectionParameters{{Collection: &collection, Q: ptr("*"), QueryBy: ptr("title"),
			FilterBy: ptr("id:[" + strings.Join(ids, ",") + "]"), IncludeFields: ptr("id,version"), PerPage: ptr(250), Page: ptr(1)}}})
	if err != nil {
		return nil, fail(err, "reading versions")
	}
	item, err := only(r)
	if err != nil {
		return nil, err
	}
	out := make(map[uuid.UUID]int64, len(ids))
	for _, h := range hits(item) {
		id, err := uuid.Parse(text(h, "id"))
		if v, ok := h["version"].(float64); ok && err == nil {
			out[id] = int64(v)
		}
	}
	return out, nil
}

// Delete takes listings out. An older upsert that comes later is the service's
// to undo: it reads the listing again after each write.
func (e *Engine) Delete(ctx context.Context, refs ...search.Ref) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil || len(refs) == 0 {
		return err
	}
	mu := e.lock(board)
	mu.Lock()
	defer mu.Unlock()
	places, err := e.places(ctx, board)
	if err != nil {
		return err
	}
	for _, collection := range places {
		for batch := range slices.Chunk(refs, putBatch) {
			ids := make([]string, len(batch))
			for i, r := range batch {
				ids[i] = r.ID.String()
			}
			_, err := e.admin.Collection(collection).Documents().Delete(ctx, &api.DeleteDocumentsParams{
				FilterBy: ptr("id:[" + strings.Join(ids, ",") + "]"), BatchSize: ptr(putBatch)})
			if err != nil && !(status(err) == http.StatusNotFound && collection == places[1]) {
				return fail(err, "deleting")
			}
		}
	}
	return nil
}

// Rebuild fills the next collection, checks it, swaps the alias and drops the
// old one. Writes meanwhile go to both collections; what an import here put
// over a newer write is found by comparing the two. One at a time a board: the
// service sees to it. A rebuild that fails takes its collection away; what one
// that died left behind goes with the next.
func (e *Engine) Rebuild(ctx context.Context, all search.Documents) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	if err := e.Ensure(ctx); err != nil {
		return err
	}
	alias := aliasOf(board)
	old, err := e.target(ctx, alias)
	if err != nil {
		return err
	}
	next := alias + "_" + strconv.Itoa(number(old)+1)
	// What a rebuild that died left behind.
	if err := e.drop(ctx, next); err != nil {
		return err
	}
	if _, err := e.admin.Collections().Create(ctx, schema(next)); err != nil {
		return fail(err, "making a collection")
	}
	if err := e.fill(ctx, all, old, next); err != nil {
		return errors.Join(err, e.drop(context.WithoutCancel(ctx), next))
	}
	if err := e.point(ctx, alias, next); err != nil {
		return err
	}
	if err := e.catchUp(ctx, old, next); err != nil {
		return err
	}
	return e.drop(ctx, old)
}

// fill puts all documents into the next collection and checks that they are there.
func (e *Engine) fill(ctx context.Context, all search.Documents, old, next string) error {
	seen := map[uuid.UUID]bool{}
	for docs, err := range all {
		if err == nil {
			err = e.put(ctx, next, docs)
		}
		if err != nil {
			return err
		}
		for i := range docs {
			seen[docs[i].ID] = true
		}
	}
	if err := e.catchUp(ctx, old, next); err != nil {
		return err
	}
	there, err := e.versionsOf(ctx, next)
	if err != nil {
		return err
	}
	missing := 0
	for id := range seen {
		if _, ok := there[id]; !ok {
			missing++ // or deleted meanwhile
		}
	}
	if missing > 10+len(seen)/100 {
		return fault.New(fault.Unavailable, "typesense: %d of %d documents did not arrive", missing, len(seen))
	}
	return nil
}

func (e *Engine) drop(ctx context.Context, collection string) error {
	_, err := e.admin.Collection(collection).Delete(ctx)
	if status(err) == http.StatusNotFound {
		return nil
	}
	return fail(err, "dropping a collection")
}

// Drop takes the board's collections, alias and search keys away. The alias goes
// last but for the keys: it tells which collections there are when Drop failed
// half-way and is called again.
func (e *Engine) Drop(ctx context.Context) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	mu := e.lock(board)
	mu.Lock()
	defer mu.Unlock()
	alias, current := aliasOf(board), 1
	a, err := e.admin.Alias(alias).Retrieve(ctx)
	if err == nil {
		current = number(a.CollectionName)
	} else if status(err) != http.StatusNotFound {
		return fail(err, "reading an alias")
	}
	// The one that is searched, and what a rebuild that died left before or after it.
	for n := max(1, current-1); n <= current+1; n++ {
		if err := e.drop(ctx, alias+"_"+strconv.Itoa(n)); err != nil {
			return err
		}
	}
	if _, err := e.admin.Alias(alias).Delete(ctx); err != nil && status(err) != http.StatusNotFound {
		return fail(err, "dropping an alias")
	}
	return e.dropKeys(ctx, board)
}

// catchUp copies what the first collection holds newer than the second.
func (e *Engine) catchUp(ctx context.Context, from, to string) error {
	a, err := e.versionsOf(ctx, from)
	if err != nil {
		return err
	}
	b, err := e.versionsOf(ctx, to)
	if err != nil {
		return err
	}
	var body bytes.Buffer
	n := 0
	for id, v := range a {
		if have, ok := b[id]; !ok || have >= v {
			continue
		}
		doc, err := e.admin.Collection(from).Document(id.String()).Retrieve(ctx)
		if status(err) == http.StatusNotFound {
			continue
		}
		if err != nil {
			return fail(err, "reading a document")
		}
		if err := json.NewEncoder(&body).Encode(doc); err != nil {
			return fmt.Errorf("typesense document: %w", err)
		}
		n++
	}
	if n == 0 {
		return nil
	}
	return e.load(ctx, to, &body, n)
}

// Versions lists what the board's collection holds.
func (e *Engine) Versions(ctx context.Context) (map[uuid.UUID]int64, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	return e.versionsOf(ctx, aliasOf(board))
}

func (e *Engine) versionsOf(ctx context.Context, collection string) (map[uuid.UUID]int64, error) {
	body, err := e.admin.Collection(collection).Documents().Export(ctx, &api.ExportDocumentsParams{IncludeFields: ptr("id,version")})
	if err != nil {
		return nil, fail(err, "exporting")
	}
	defer func() { _ = body.Close() }()
	out := map[uuid.UUID]int64{}
	dec := json.NewDecoder(body)
	for dec.More() {
		var d struct {
			ID      uuid.UUID `json:"id"`
			Version int64     `json:"version"`
		}
		if err := dec.Decode(&d); err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "typesense: an export cannot be read")
		}
		out[d.ID] = d.Version
	}
	return out, nil
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
