package staff

import (
	"testing"

	"shingle/authz"
	"shingle/tenant"
	"shingle/web/console"
)

// Every permission and role of the platform has its words in both languages.
func TestPermissionsHaveWords(t *testing.T) {
	t.Parallel()
	assets, err := console.LoadAssets()
	if err != nil {
		t.Fatal(err)
	}
	sh, err := console.NewShell(files, "pages", files, assets)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, p := range authz.All(authz.OnPlatform) {
		e, _ := p.Entry()
		keys = append(keys, "staff."+e.Words())
	}
	for _, r := range authz.BuiltinRoles(tenant.Nil) {
		keys = append(keys, authz.RoleWords(tenant.Nil, r))
	}
	for _, l := range console.Locales {
		for _, k := range keys {
			if sh.T(l, k) == "⟦"+k+"⟧" {
				t.Errorf("%s has no %s", l, k)
			}
		}
	}
}
