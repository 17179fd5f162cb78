package archive

// Table says how a board's table travels. Columns come from the database's own
// catalogue; what is said here is what it cannot know.
type Table struct {
	Name string
	// Drop are columns that stay behind: the database's defaults take their place.
	Drop []string
	// Where leaves rows out, in SQL.
	Where string
	// Files are text columns with a file's key; FilesIn are members of jsonb columns.
	Files   []string
	FilesIn map[string][]string
	// Operators are columns that name a person of the platform; Actors do so
	// unless the column beside them says "person".
	Operators []string
	Actors    map[string]string
	// IDs are text and jsonb columns whose texts are or hold the board's own ids.
	IDs []string
	// History keeps its texts word for word: no link in them is made anew.
	History bool
	// Applications are the employers' business; see Options.WithoutApplications.
	Applications bool
	// Person is the condition for one person's rows, with ?0 their address, ?1
	// their ids on the board and ?2 the board; PersonDrop are columns that are no words about
	// them, or secrets. Without a condition, Nobody says why there is none.
	Person     string
	PersonDrop []string
	Nobody     string
}

// Tables travel, in an order in which each row finds those that it refers to.
// TestEveryTableIsDecided holds this list and the next against the database.
var Tables = []Table{
	{Name: "people", Person: "email = ?0"},
	{Name: "companies", Files: []string{"logo_key"}, Person: "id IN (SELECT company_id FROM company_members WHERE tenant_id = ?2 AND person_id IN (?1))"},
	{Name: "company_members", Person: "person_id IN (?1)"},
	{Name: "categories", Nobody: "the board's own words"},
	{Name: "listings", Files: []string{"next_logo"}, Person: "person_id IN (?1)"},
	{Name: "listing_places", Person: "listing_id IN (SELECT id FROM listings WHERE tenant_id = ?2 AND person_id IN (?1))"},
	{Name: "listing_moves", Actors: map[string]string{"actor_id": "actor_kind"}, Person: "actor_id IN (?1)"},
	{Name: "listing_revisions", FilesIn: map[string][]string{"content": {"logo"}}, Actors: map[string]string{"author_id": "author_kind"}, Operators: []string{"decided_by"},
		Person: "author_id IN (?1)"},
	{Name: "products", Nobody: "the board's prices"},
	{Name: "orders", Person: "email = ?0 OR person_id IN (?1)"},
	{Name: "refunds", Actors: map[string]string{"actor_id": "actor_kind"},
		Person: "order_id IN (SELECT id FROM orders WHERE tenant_id = ?2 AND (email = ?0 OR person_id IN (?1)))"},
	{Name: "entitlements", Person: "listing_id IN (SELECT id FROM listings WHERE tenant_id = ?2 AND person_id IN (?1))"},
	{Name: "ledger_entries", History: true, Nobody: "amounts of orders, which the person's file has"},
	{Name: "reconciliations", IDs: []string{"differences"}, Nobody: "amounts of orders, which the person's file has"},
	{Name: "order_numbers", Nobody: "the last order's number"},
	{Name: "applications", Files: []string{"cv_key"}, Applications: true, Person: "email = ?0", PersonDrop: []string{"withdraw_hash"}},
	{Name: "application_replies", Applications: true,
		Person: "person_id IN (?1) OR application_id IN (SELECT id FROM applications WHERE tenant_id = ?2 AND email = ?0)"},
	{Name: "reports", Operators: []string{"decided_by"}, Person: "lower(email) = ?0"},
	{Name: "alerts", Person: "email = ?0", PersonDrop: []string{"confirm_hash", "stop_hash"}},
	// An erasure that waits must not be lost on the way; its fingerprint is of this
	// installation's key.
	{Name: "person_requests", Drop: []string{"fingerprint"}, Person: "email = ?0", PersonDrop: []string{"fingerprint", "person"}},
	{Name: "looks", FilesIn: map[string][]string{"look": {"logo_key", "icon_key", "share_key"}}, Operators: []string{"created_by"}, Nobody: "the board's look"},
	{Name: "pages", Operators: []string{"created_by"}, Nobody: "the board's pages"},
	{Name: "imports", Operators: []string{"created_by"}, IDs: []string{"report"}, History: true, Nobody: "files of the board's team"},
	{Name: "redirects", Operators: []string{"created_by"}, Nobody: "addresses of the board"},
	// What a mail said is gone once it is sent; one that waits holds links that sign somebody in.
	{Name: "mails", Drop: []string{"payload"}, Where: "state <> 'queued'", IDs: []string{"key", "message_id"}, History: true,
		Person: "recipient = ?0", PersonDrop: []string{"payload"}},
	{Name: "mail_texts", Nobody: "the board's own words"},
	{Name: "mail_suppressions", Person: "address = ?0"},
	// The domain is proven again: the header names it.
	{Name: "mail_identities", Drop: []string{"domain", "state", "own_return", "checks", "misses", "checked_at", "verified_at", "told_stuck"}, Nobody: "the board's own sender"},
	{Name: "launch_checklists", Nobody: "whether the board's team has put it away"},
	// The chain is of this board's id and place: lines are sealed anew where they
	// go, with a salt of their own.
	{Name: "audit_log", Drop: []string{"salt"}, Actors: map[string]string{"actor_id": "actor_kind"}, Operators: []string{"impersonator_id"}, IDs: []string{"object_id", "detail"}, History: true,
		PersonDrop: []string{"salt"}, Person: `actor_id IN (?1) OR position('"' || ?0 || '"' in personal::text) > 0`},
}

// Left stay where they are, each with the reason. PersonLeft says which of them a
// person's own file shows all the same.
var Left = map[string]string{
	"access_passes":     "secrets that are spent once, of this installation's links",
	"audit_chain":       "links of the chain, which hold the board's id: lines are sealed anew where they go",
	"audit_chains":      "links of the chain, which hold the board's id: lines are sealed anew where they go",
	"audit_heads":       "links of the chain, which hold the board's id: lines are sealed anew where they go",
	"audit_unsealed":    "lines that wait for their link",
	"board_plans":       "what the platform sells: a restored board begins its trial where it goes",
	"board_notes":       "what the platform's staff wrote about the board",
	"board_summaries":   "counted anew where it goes",
	"feature_flags":     "what the platform's staff switched",
	"impersonations":    "visits of the platform's staff, which the board's log tells of",
	"board_exports":     "archives of the board themselves, and links to them",
	"casbin_rules":      "grants are of the platform's operators: the header names roles and team, and a restored board invites anew",
	"checkout_sessions": "pages at Stripe that belong to this platform's account: an open one would be asked after from two places",
	"dkim_keys":         "private keys, sealed for this installation: a key that travels is no secret, and a new one is one DNS record",
	"domains":           "a host is proven where the board is: the header names them",
	"held_forms":        "forms that wait a day for a link of this installation's, sealed with its key",
	"generations":       "the page cache's own counter",
	"ownership_offers":  "offers between the platform's operators, each with a secret",
	"person_sessions":   "somebody's open door; they sign in again",
	"person_tokens":     "secrets that are spent once",
	"plan_invoices":     "the platform's invoices to the board's owner, which they have",
	"plan_steps":        "what the platform did about a plan that was not paid",
	"search_documents":  "rebuilt from the listings",
	"search_keys":       "a key of this installation's search server",
	"search_rebuilds":   "a lease of a worker's",
	"search_terms":      "rebuilt from the listings",
	"stripe_accounts":   "an account is connected to this platform at Stripe: it is onboarded anew, and nobody claims another's by a file",
	"tasks":             "work of this installation, under way",
	"usage_alarms":      "of the platform's limits",
	"usage_days":        "what the platform counted",
}

// PersonLeft are rows of tables that stay behind when a board moves, and are a
// person's own all the same: without their secrets.
var PersonLeft = []Table{
	{Name: "person_sessions", Person: "person_id IN (?1)", PersonDrop: []string{"token_hash"}},
	{Name: "person_tokens", Person: "email = ?0", PersonDrop: []string{"hash", "code_hash", "ticket_hash", "payload"}},
	{Name: "held_forms", Person: "email = ?0", PersonDrop: []string{"hash", "sealed"}},
	{Name: "access_passes", Person: "email = ?0", PersonDrop: []string{"hash", "payload"}},
}

func tableOf(name string) (*Table, bool) {
	for i := range Tables {
		if Tables[i].Name == name {
			return &Tables[i], true
		}
	}
	return nil, false
}
