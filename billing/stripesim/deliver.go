package stripesim

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// pollEvery bounds how late a clock that is not the machine's may be noticed.
const pollEvery = time.Second

// queueLength is how many deliveries an endpoint gets before what is due is
// looked at anew.
const queueLength = 50

// parcel is a delivery whose time has come.
type parcel struct {
	delivery *delivery
	endpoint *endpoint
	body     []byte
}

// deliver sends what is due until ctx ends. Each endpoint has its own queue, in
// order, so that one that hangs holds up nobody else.
func (s *Sim) deliver(ctx context.Context) {
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		busy    = map[string]bool{}
	)
	defer running.Wait()
	for ctx.Err() == nil {
		if err := s.update(sweep); err != nil {
			s.log.Error("stripe simulator: sweep", "error", err)
			return
		}
		// Asked before looking at what is due: who is done by then wakes us again.
		mu.Lock()
		taken := maps.Clone(busy)
		mu.Unlock()
		queues, wait := s.dueQueues(taken)
		for id, queue := range queues {
			mu.Lock()
			busy[id] = true
			mu.Unlock()
			running.Go(func() {
				defer func() {
					mu.Lock()
					delete(busy, id)
					mu.Unlock()
					select {
					case s.wake <- struct{}{}:
					default:
					}
				}()
				for _, p := range queue {
					if ctx.Err() != nil {
						return
					}
					s.send(ctx, p)
				}
			})
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// dueQueues collects what is due by endpoint, oldest first, and says how long
// until something else is. Endpoints in busy are left alone.
func (s *Sim) dueQueues(busy map[string]bool) (map[string][]parcel, time.Duration) {
	queues := map[string][]parcel{}
	wait := pollEvery
	err := s.update(func(t *tx) error {
		now := t.now.UnixMilli()
		var ids []string
		for id, at := range t.db.due {
			if at <= now {
				ids = append(ids, id)
			} else {
				wait = min(wait, time.Duration(at-now)*time.Millisecond)
			}
		}
		slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(t.row(a).Seq, t.row(b).Seq) })
		for _, id := range ids {
			d := known[delivery](t, id)
			if busy[d.Endpoint] || len(queues[d.Endpoint]) == queueLength {
				continue
			}
			ep := t.endpoint(d.Endpoint)
			if ep == nil || ep.Status != "enabled" {
				d.Status, d.Problem = deliveryFailed, "the endpoint is gone"
				t.put("", d)
				continue
			}
			queues[ep.ID] = append(queues[ep.ID], parcel{delivery: d, endpoint: ep, body: t.payload(d, ep)})
		}
		return nil
	})
	if err != nil {
		s.log.Error("stripe simulator: deliveries", "error", err)
	}
	return queues, wait
}

// payload is an event in the endpoint's API version.
func (t *tx) payload(d *delivery, ep *endpoint) []byte {
	e := known[event](t, d.Event)
	e.APIVersion = cmp.Or(text(ep.APIVersion), APIVersion)
	body, _ := json.MarshalIndent(e, "", "  ") // as Stripe sends it
	return body
}

// Sign makes the Stripe-Signature header of a payload.
func Sign(payload []byte, secret string, at time.Time) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.", at.Unix())
	mac.Write(payload)
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}

func (s *Sim) send(ctx context.Context, p parcel) {
	status, err := s.post(ctx, p)
	if ctx.Err() != nil {
		return // still pending: the next Run sends it again
	}
	delivered := err == nil && status >= 200 && status < 300
	err = s.update(func(t *tx) error {
		r := t.row(p.delivery.ID)
		if r == nil {
			return nil
		}
		d := decode[delivery](r)
		d.Attempts++
		d.Answer, d.Problem = status, ""
		switch {
		case delivered:
			d.Status = deliveryDone
			e := known[event](t, d.Event)
			e.PendingWebhooks = max(0, e.PendingWebhooks-1)
			t.put(e.Account, e)
		case d.Attempts > len(s.opt.Backoff):
			d.Status = deliveryFailed
		default:
			d.NextAt = t.now.Add(s.opt.Backoff[d.Attempts-1]).UnixMilli()
		}
		if err != nil {
			d.Problem = reason(err)
		} else if !delivered {
			d.Problem = fmt.Sprintf("answered %d", status)
		}
		t.put("", d)
		return nil
	})
	if err != nil {
		s.log.Error("stripe simulator: delivery", "error", err)
	}
}

func (s *Sim) post(ctx context.Context, p parcel) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.endpoint.URL, bytes.NewReader(p.body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	req.Header.Set("Stripe-Signature", Sign(p.body, p.endpoint.Secret, s.now()))
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, nil
}

// reason is a transport error without the URL, which may hold a secret.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}
