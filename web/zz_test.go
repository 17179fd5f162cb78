package web_test
import ("testing";"os";"shingle/tenant")
func TestZZ(t *testing.T){
	h := newHouse(t)
	from := demoBoards(t)[1]
	board := h.BoardOf(t, tenant.NewBoard{Slug: from.Slug, Name: from.Name, Locale: from.Locale, Currency: from.Currency, TimeZone: from.TimeZone, ContactEmail: from.ContactEmail})
	h.fill(t, board, &from, 60)
	for n,p := range map[string]string{"home":"/","post":"/post","jobs":"/jobs"} {
		b := h.get(t, board.PlatformHost, p).Body.String()
		os.WriteFile("/tmp/x/"+n+".html", []byte(b), 0o644)
		for _, l := range sheetLink.FindAllString(b,-1) { u := hrefOf.FindStringSubmatch(l)[1]; t.Log(n, len(b), u, h.get(t, board.PlatformHost, u).Body.Len()) }
	}
}
