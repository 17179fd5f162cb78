package site

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/listings"
	"shingle/search"
	"shingle/tenant"
	"shingle/themes"
)

// feedSize is how many listings a feed holds; mapSize how many URLs a sitemap
// part, under the protocol's 50,000.
const feedSize, mapSize = 50, 45_000

// The parts of RSS 2.0 with the elements that feed readers look for. A library
// for feeds knows no atom:link, so the four structs stand here.
type rssFeed struct {
	XMLName xml.Name   `xml:"rss"`
	Version string     `xml:"version,attr"`
	Atom    string     `xml:"xmlns:atom,attr"`
	Channel rssChannel `xml:"channel"`
}

type rssChannel struct {
	Title       string    `xml:"title"`
	Link        string    `xml:"link"`
	Description string    `xml:"description"`
	Language    string    `xml:"language"`
	Self        atomLink  `xml:"atom:link"`
	LastBuild   string    `xml:"lastBuildDate,omitempty"`
	TTL         int       `xml:"ttl"`
	Items       []rssItem `xml:"item"`
}

type atomLink struct {
	Href string `xml:"href,attr"`
	Rel  string `xml:"rel,attr"`
	Type string `xml:"type,attr"`
}

type rssItem struct {
	Title       string   `xml:"title"`
	Link        string   `xml:"link"`
	GUID        rssGUID  `xml:"guid"`
	PubDate     string   `xml:"pubDate"`
	Categories  []string `xml:"category"`
	Description string   `xml:"description"`
}

type rssGUID struct {
	PermaLink bool   `xml:"isPermaLink,attr"`
	Value     string `xml:",chardata"`
}

// feed reads the listings of a search, newest first; without a search the newest of all.
func (s *Site) feed(c *gin.Context) (search.Query, []listings.Listing, error) {
	q := search.ParseQuery(c.Request.URL.Query())
	q.Page, q.PerPage, q.Sort = 1, feedSize, search.SortRecent
	var ids []uuid.UUID
	if q.Text != "" || q.Location != "" || q.Filtered() {
		res, err := s.Search.Search(c.Request.Context(), inMinor(tenant.From(c.Request.Context()), q))
		if err != nil {
			return q, nil, err
		}
		for _, h := range res.Hits {
			ids = append(ids, h.ListingID)
		}
		if len(ids) == 0 {
			return q, nil, nil
		}
	}
	var found []listings.Listing
	err := s.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		found, err = s.Listings.Feed(ctx, tx, feedSize, ids)
		return err
	})
	return q, found, err
}

// rss is "/feed.rss", of any search: the same parameters as "/jobs".
func (s *Site) rss(c *gin.Context) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	q, found, err := s.feed(c)
	if err != nil {
		return err
	}
	self := "/feed.rss"
	q.Sort = ""
	if enc := q.Values().Encode(); enc != "" {
		self += "?" + enc
	}
	ch := rssChannel{Title: v.T.Name, Link: s.canonical(v, jobsURL(q)), Description: v.Say("feed.description", v.T.Name), Language: v.T.Locale, TTL: 60,
		Self: atomLink{Href: s.canonical(v, self), Rel: "self", Type: "application/rss+xml"}}
	for i := range found {
		l := &found[i]
		link := s.canonical(v, l.Path())
		item := rssItem{Title: l.Title + ", " + l.Company.Name, Link: link, GUID: rssGUID{true, link}, Description: v.feedText(l), PubDate: l.PublishedAt.In(v.T.Location()).Format(time.RFC1123Z)}
		if l.Category != nil {
			item.Categories = []string{l.Category.Name}
		}
		ch.Items = append(ch.Items, item)
	}
	if len(found) > 0 {
		ch.LastBuild = found[0].PublishedAt.In(v.T.Location()).Format(time.RFC1123Z)
	}
	return writeXML(c, "application/rss+xml; charset=utf-8", rssFeed{Version: "2.0", Atom: "http://www.w3.org/2005/Atom", Channel: ch})
}

// feedText is the description with the facts that a list would show first.
func (v *view) feedText(l *listings.Listing) string {
	var facts []string
	for _, f := range []string{v.Place(l.Places, l.Workplace, l.ApplicantCountries), v.Workplace(l.Workplace), v.Say("type." + l.EmploymentType),
		v.Pay(l.SalaryMin, l.SalaryMax, l.SalaryCurrency, l.SalaryPeriod)} {
		if f != "" {
			facts = append(facts, escape(f))
		}
	}
	return "<p>" + strings.Join(facts, " · ") + "</p>" + l.Description
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

// jsonFeed is JSON Feed 1.1 of the same listings.
func (s *Site) jsonFeed(c *gin.Context) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	q, found, err := s.feed(c)
	if err != nil {
		return err
	}
	q.Sort = ""
	items := make([]map[string]any, 0, len(found))
	for i := range found {
		l := &found[i]
		link := s.canonical(v, l.Path())
		items = append(items, map[string]any{"id": link, "url": link, "title": l.Title + ", " + l.Company.Name, "content_html": v.feedText(l),
			"date_published": l.PublishedAt.In(v.T.Location()).Format(time.RFC3339), "date_modified": l.UpdatedAt.In(v.T.Location()).Format(time.RFC3339), "tags": l.Tags})
	}
	// Its own address with what changes it, and nothing else that somebody asked.
	self := c.Request.URL.Path
	if query, ok := themes.NormalQuery(c.Request.URL.RawQuery, queryNames...); ok && query != "" {
		self += "?" + query
	}
	raw, err := json.Marshal(map[string]any{"version": "https://jsonfeed.org/version/1.1", "title": v.T.Name, "home_page_url": s.canonical(v, jobsURL(q)),
		"feed_url": s.canonical(v, self), "language": v.T.Locale, "items": items})
	if err != nil {
		return err
	}
	c.Data(http.StatusOK, "application/feed+json; charset=utf-8", raw)
	return nil
}

type siteIndex struct {
	XMLName xml.Name  `xml:"sitemapindex"`
	NS      string    `xml:"xmlns,attr"`
	Maps    []siteURL `xml:"sitemap"`
}

type siteMap struct {
	XMLName xml.Name  `xml:"urlset"`
	NS      string    `xml:"xmlns,attr"`
	URLs    []siteURL `xml:"url"`
}

type siteURL struct {
	Loc     string `xml:"loc"`
	LastMod string `xml:"lastmod,omitempty"`
}

const sitemapNS = "http://www.sitemaps.org/schemas/sitemap/0.9"

// sitemapIndex names the parts: one of standing pages, then the listings.
func (s *Site) sitemapIndex(c *gin.Context) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	var live int
	err = s.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		live, err = s.Listings.CountLive(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	idx := siteIndex{NS: sitemapNS, Maps: []siteURL{{Loc: s.canonical(v, "/sitemaps/pages.xml")}}}
	for part := range max(1, (live+mapSize-1)/mapSize) {
		idx.Maps = append(idx.Maps, siteURL{Loc: s.canonical(v, fmt.Sprintf("/sitemaps/jobs-%d.xml", part+1))})
	}
	return writeXML(c, "application/xml; charset=utf-8", idx)
}

// landingFrom is how many live listings a landing page needs to be listed.
const landingFrom = 5

func (s *Site) sitemapPart(c *gin.Context) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	out := siteMap{NS: sitemapNS}
	name := strings.TrimSuffix(c.Param("part"), ".xml")
	if name == "pages" {
		err = s.read(c, func(ctx context.Context, tx bun.IDB) error { return s.standingPages(ctx, tx, v, &out) })
	} else {
		n, nerr := strconv.Atoi(strings.TrimPrefix(name, "jobs-"))
		if nerr != nil || n < 1 || n > 1000 || !strings.HasPrefix(name, "jobs-") {
			return fault.New(fault.NotFound, "no such sitemap")
		}
		err = s.read(c, func(ctx context.Context, tx bun.IDB) error {
			rows, err := s.Listings.Sitemap(ctx, tx, (n-1)*mapSize, mapSize)
			for i := range rows {
				out.URLs = append(out.URLs, siteURL{s.canonical(v, rows[i].Path()), rows[i].UpdatedAt.UTC().Format(time.RFC3339)})
			}
			return err
		})
	}
	if err != nil {
		return err
	}
	return writeXML(c, "application/xml; charset=utf-8", out)
}

func (s *Site) standingPages(ctx context.Context, tx bun.IDB, v *view, out *siteMap) error {
	for _, p := range []string{"/", "/jobs", "/companies", "/employers"} {
		out.URLs = append(out.URLs, siteURL{Loc: s.canonical(v, p)})
	}
	cats, err := s.categories(ctx, tx)
	if err != nil {
		return err
	}
	for _, cat := range cats {
		if cat.Live >= landingFrom {
			out.URLs = append(out.URLs, siteURL{Loc: s.canonical(v, "/categories/"+cat.Slug)})
		}
	}
	cos, _, err := s.Listings.Companies(ctx, tx, 1, 5000)
	if err != nil {
		return err
	}
	for i := range cos {
		out.URLs = append(out.URLs, siteURL{Loc: s.canonical(v, cos[i].Path())})
	}
	return nil
}

// robots keeps crawlers out of forms and consoles only: an expired page that
// is blocked cannot show its 410.
func (s *Site) robots(c *gin.Context) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	c.String(http.StatusOK, "User-agent: *\nDisallow: /jobs/*/apply\nDisallow: /account\nDisallow: /admin\nDisallow: /x/\n\nSitemap: %s\n", s.canonical(v, "/sitemap.xml"))
	return nil
}

func writeXML(c *gin.Context, kind string, v any) error {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	if err := xml.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	c.Data(http.StatusOK, kind, b.Bytes())
	return nil
}
