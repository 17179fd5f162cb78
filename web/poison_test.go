package web_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// passing are parts of an answer that differ from one to the next.
var passing = regexp.MustCompile(`(?m)^(?:Date|X-Request-Id): .*$`)

// raw sends a request word for word and reads the answer.
func raw(t *testing.T, addr, request string) (status int, answer string) {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ") // an answer to HEAD has no body
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return 0, ""
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var head strings.Builder
	_ = res.Header.Write(&head)
	return res.StatusCode, passing.ReplaceAllString(head.String(), "") + string(body)
}

// TestNoRequestPoisonsAPage asks a board in every way that could put another
// board's or a stranger's words into a page that is kept, and then as everybody
// does: the kept page is the one that was there before.
func TestNoRequestPoisonsAPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.caching(t, 16<<20)
	demos := demoBoards(t)
	north, south := h.Board(t, "north"), h.Board(t, "south")
	h.fill(t, north, &demos[0], 5)
	h.fill(t, south, &demos[1], 5)
	server := httptest.NewServer(h.handler)
	t.Cleanup(server.Close)
	addr := server.Listener.Addr().String()
	ask := func(host, path string) string {
		t.Helper()
		status, answer := raw(t, addr, "GET "+path+" HTTP/1.1\nHost: "+host+":8080\nConnection: close\n\n")
		if status != http.StatusOK {
			t.Fatalf("%s%s: %d", host, path, status)
		}
		return answer
	}
	paths := []string{"/", "/jobs", "/companies", "/feed.rss", "/feed.json", "/sitemap.xml", "/robots.txt", "/pages/privacy"}
	clean := map[string]string{}
	for _, path := range paths {
		clean[path], clean["south "+path] = ask("north.localhost", path), ask("south.localhost", path)
		if clean[path] == clean["south "+path] && path != "/robots.txt" {
			t.Fatalf("%s is the same on both", path)
		}
	}
	heads := []string{
		"X-Forwarded-Host: south.localhost", "X-Forwarded-Host: evil.example", "X-Forwarded-Host: evil.example, north.localhost", "X-Forwarded-Server: evil.example", "X-Host: evil.example",
		"X-HTTP-Host-Override: evil.example", "Forwarded: host=evil.example;proto=https;for=192.0.2.1", "X-Original-Host: evil.example", "X-Original-URL: /admin", "X-Rewrite-URL: /admin",
		"X-Forwarded-Prefix: /evil.example", "X-Forwarded-Proto: https", "X-Forwarded-Scheme: nothttps", "X-Forwarded-Port: 9999", "X-Forwarded-For: evil.example", "X-HTTP-Method-Override: POST",
		"Cookie: lang=de; theme=evil.example", "Accept-Language: de", "Origin: https://evil.example", "Referer: https://evil.example/", "User-Agent: evil.example", "Accept: application/json",
		"Authorization: Basic ZXZpbDpldmls", "Range: bytes=0-10", "X-Board: south", "X-Tenant: south", "Upgrade-Insecure-Requests: 1", "Via: evil.example", "True-Client-IP: evil.example",
	}
	north8080 := "Host: north.localhost:8080\n"
	for _, path := range paths {
		var ways []string
		for _, head := range heads {
			ways = append(ways, "GET "+path+" HTTP/1.1\n"+north8080+head+"\nConnection: close\n\n")
		}
		for _, query := range []string{"utm_source=evil.example", "lang=de", "host=evil.example", "callback=evil.example", "_method=POST", "page=1%00evil", "cb=1;q=evil.example", "%71=", "q", "__proto__=evil.example", "x[]=evil.example"} {
			ways = append(ways, "GET "+path+"?"+query+" HTTP/1.1\n"+north8080+"Connection: close\n\n")
		}
		ways = append(ways,
			"GET http://south.localhost:8080"+path+" HTTP/1.1\n"+north8080+"Connection: close\n\n",
			"GET http://north.localhost:8080"+path+" HTTP/1.1\nHost: south.localhost:8080\nConnection: close\n\n",
			"GET http://evil.example"+path+" HTTP/1.1\n"+north8080+"Connection: close\n\n",
			"GET "+path+" HTTP/1.1\n"+north8080+"Host: south.localhost:8080\nConnection: close\n\n",
			"GET "+path+" HTTP/1.1\nHost: south.localhost:8080\n"+north8080+"Connection: close\n\n",
			"GET "+path+" HTTP/1.1\n Host: south.localhost:8080\n"+north8080+"Connection: close\n\n",
			"GET "+path+" HTTP/1.1\nHost: north.localhost:8080@evil.example\nConnection: close\n\n",
			"GET "+path+" HTTP/1.1\nHost: north.localhost:8080, south.localhost\nConnection: close\n\n",
			"GET "+path+" HTTP/1.1\nHost: north.localhost:evil\nConnection: close\n\n",
			"GET "+path+" HTTP/1.1\nHost: north.localhost#.south.localhost\nConnection: close\n\n",
			"GET "+path+" HTTP/1.0\nConnection: close\n\n",
			"HEAD "+path+" HTTP/1.1\n"+north8080+"Connection: close\n\n",
			"GET "+path+"/../admin HTTP/1.1\n"+north8080+"Connection: close\n\n",
			"GET "+path+"%2f..%2fadmin HTTP/1.1\n"+north8080+"Connection: close\n\n",
		)
		for _, way := range ways {
			_, answer := raw(t, addr, way)
			if strings.Contains(answer, "evil.example") {
				t.Errorf("an answer repeats what was asked: %q", way)
			}
		}
		// The same host, however it is written, is one page; another is another.
		for _, host := range []string{"NORTH.localhost", "north.localhost.", "north.LOCALHOST.:8080", "north.localhost:80", "north.localhost:443"} {
			if _, answer := raw(t, addr, "GET "+path+" HTTP/1.1\nHost: "+host+"\nConnection: close\n\n"); answer != clean[path] {
				t.Errorf("%s%s is another page than at north.localhost", host, path)
			}
		}
		if ask("north.localhost", path) != clean[path] {
			t.Errorf("%s is another page now", path)
		}
		if ask("south.localhost", path) != clean["south "+path] {
			t.Errorf("south%s is another page now", path)
		}
	}
	// A host is the request's own, never a header's beside it.
	for _, way := range []string{"GET http://south.localhost:8080/ HTTP/1.1\n" + north8080, "GET / HTTP/1.1\nHost: south.localhost:8080\nX-Forwarded-Host: north.localhost\n"} {
		if _, answer := raw(t, addr, way+"Connection: close\n\n"); answer != clean["south /"] {
			t.Errorf("%q does not get south's page", way)
		}
	}
	if status, _ := raw(t, addr, "GET / HTTP/1.1\n"+north8080+"Host: south.localhost:8080\nConnection: close\n\n"); status != http.StatusBadRequest {
		t.Errorf("two hosts: %d, want 400", status)
	}
}
