package staff

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"shingle/billing"
	"shingle/internal/fault"
	"shingle/internal/money"
)

// feeRule reads the fee form: a percentage and amounts as people type them.
func feeRule(c *gin.Context, currency, locale string) (json.RawMessage, error) {
	f := fault.Fields{}
	var rule billing.FeeRule
	percent, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(c.PostForm("percent")), ",", "."), 64)
	if err != nil || percent < 0 || percent > 100 || math.IsNaN(percent) {
		f["percent"] = "staff.fee.percent"
	} else {
		rule.PercentBP = int64(math.Round(percent * 100))
	}
	for name, to := range map[string]*int64{"fixed": &rule.Fixed, "min": &rule.Min, "cap": &rule.Cap} {
		text := strings.TrimSpace(c.PostForm(name))
		if text == "" {
			continue
		}
		v, err := money.Parse(text, currency, locale)
		if err != nil || v < 0 {
			f[name] = "staff.fee.amount"
			continue
		}
		*to = v
	}
	if rule.Cap > 0 && rule.Min > rule.Cap {
		f["cap"] = "staff.fee.cap"
	}
	if err := fault.Invalids(f); err != nil {
		return nil, err
	}
	return json.Marshal(rule)
}
