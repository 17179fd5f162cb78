package console

import (
	"sort"

	"github.com/gin-gonic/gin"
)

// Kept is a form that was sent too late for its second factor: nothing was done
// with it, and it goes on from the page that shows this.
type Kept struct {
	Action string
	Fields []KeptField
	// Files tells that files were chosen, which a page cannot keep.
	Files bool
	// Confirm is where the second factor is proven, in a tab of its own.
	Confirm string
}

// KeptField is one value of the form.
type KeptField struct{ Name, Value string }

// Keep reads the form of a request that was refused before its handler.
func Keep(c *gin.Context, confirm string) Kept {
	k := Kept{Action: c.Request.URL.RequestURI(), Confirm: confirm}
	if err := c.Request.ParseMultipartForm(1 << 20); err != nil && c.Request.PostForm == nil {
		_ = c.Request.ParseForm()
	}
	for name, values := range c.Request.PostForm {
		for _, v := range values {
			k.Fields = append(k.Fields, KeptField{name, v})
		}
	}
	// Values of one name stay in their order.
	sort.SliceStable(k.Fields, func(i, j int) bool { return k.Fields[i].Name < k.Fields[j].Name })
	k.Files = c.Request.MultipartForm != nil && len(c.Request.MultipartForm.File) > 0
	return k
}
