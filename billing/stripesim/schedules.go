package stripesim

type schedule struct {
	head
	CanceledAt   *int64  `json:"canceled_at"`
	CompletedAt  *int64  `json:"completed_at"`
	CurrentPhase *span   `json:"current_phase"`
	Customer     string  `json:"customer"`
	EndBehavior  string  `json:"end_behavior"`
	Metadata     meta    `json:"metadata"`
	Phases       []phase `json:"phases"`
	ReleasedAt   *int64  `json:"released_at"`
	Released     *string `json:"released_subscription"`
	Status       string  `json:"status"`
	Subscription *string `json:"subscription"`
	TestClock    *string `json:"test_clock"`
}

type span struct {
	StartDate int64 `json:"start_date"`
	EndDate   int64 `json:"end_date"`
}

type phase struct {
	Currency          string      `json:"currency"`
	EndDate           int64       `json:"end_date"`
	Items             []phaseItem `json:"items"`
	Metadata          meta        `json:"metadata"`
	ProrationBehavior string      `json:"proration_behavior"`
	StartDate         int64       `json:"start_date"`
}

type phaseItem struct {
	Price    string `json:"price"`
	Quantity int64  `json:"quantity"`
	Metadata meta   `json:"metadata"`
}

func createSchedule(c *call) (any, error) {
	id := c.need("from_subscription")
	if err := c.done(); err != nil {
		return nil, err
	}
	s, err := find[subscription](c.tx, kSubscription, c.account, id, "from_subscription")
	if err != nil {
		return nil, err
	}
	switch {
	case !s.live():
		return nil, invalid("", "from_subscription", "You cannot migrate a subscription that is in the `%s` state.", s.Status)
	case s.Schedule != nil:
		return nil, invalid("", "from_subscription", "You cannot migrate a subscription that is already attached to a schedule: `%s`.", *s.Schedule)
	case s.CancelAtPeriodEnd:
		return nil, invalid("", "from_subscription", "You cannot migrate a subscription that is set to cancel.")
	}
	sc := &schedule{head: c.tx.head(kSchedule), Customer: s.Customer, EndBehavior: "release", Metadata: meta{}, Status: "active", Subscription: &s.ID}
	sc.Created, sc.TestClock = c.clock(s.TestClock), s.TestClock
	sc.CurrentPhase = &span{s.CurrentPeriodStart, s.CurrentPeriodEnd}
	sc.Phases = []phase{{Currency: s.Currency, StartDate: s.CurrentPeriodStart, EndDate: s.CurrentPeriodEnd, Metadata: meta{}, ProrationBehavior: "create_prorations",
		Items: []phaseItem{{Price: s.price().ID, Quantity: 1, Metadata: meta{}}}}}
	s.Schedule = &sc.ID
	c.put(c.account, sc)
	c.put(c.account, s)
	c.emit(c.account, "subscription_schedule.created", sc, nil)
	c.emit(c.account, "customer.subscription.updated", s, nil)
	return sc, nil
}

func updateSchedule(c *call) (any, error) {
	sc, err := find[schedule](c.tx, kSchedule, c.account, c.id, "schedule")
	if err != nil {
		return nil, err
	}
	if sc.Status != "active" {
		return nil, invalid("", "", "You cannot update a subscription schedule that is currently in the `%s` status.", sc.Status)
	}
	if c.choice("end_behavior", "release", "cancel") == "cancel" {
		return nil, unsupported("end_behavior")
	}
	s := known[subscription](c.tx, *sc.Subscription)
	var phases []phase
	at := int64(0)
	for i, name := range c.each("phases") {
		ph := phase{Currency: s.Currency, Metadata: meta{}, ProrationBehavior: c.choice(name+"[proration_behavior]", "none", "create_prorations", "always_invoice"), StartDate: at}
		if start := c.int(name + "[start_date]"); start != nil {
			ph.StartDate = *start
		}
		if i == 0 && ph.StartDate != s.CurrentPeriodStart {
			return nil, invalid("", "phases[0][start_date]", "You can not modify the start date of the current phase.")
		}
		items := c.each(name + "[items]")
		if len(items) != 1 {
			return nil, invalid("", name+"[items]", "This simulator keeps subscriptions of one item.")
		}
		p, err := find[planPrice](c.tx, kPrice, c.account, c.need(items[0]+"[price]"), name+"[items][0][price]")
		if err != nil {
			return nil, err
		}
		c.positive(items[0] + "[quantity]")
		ph.Items = []phaseItem{{Price: p.ID, Quantity: 1, Metadata: meta{}}}
		end, times := c.int(name+"[end_date]"), c.positive(name+"[iterations]")
		switch {
		case end != nil:
			ph.EndDate = *end
		case times != nil:
			ph.EndDate = ph.StartDate
			for range *times {
				ph.EndDate = addInterval(ph.EndDate, p.Recurring)
			}
		default:
			return nil, invalid("", name, "This simulator wants end_date or iterations on each phase.")
		}
		if ph.EndDate <= ph.StartDate {
			return nil, invalid("", name+"[end_date]", "The end date must be after the start date of the phase.")
		}
		at = ph.EndDate
		phases = append(phases, ph)
	}
	if err := c.done(); err != nil {
		return nil, err
	}
	if len(phases) > 0 {
		sc.Phases = phases
	}
	c.put(c.account, sc)
	c.emit(c.account, "subscription_schedule.updated", sc, nil)
	return sc, nil
}

func releaseSchedule(c *call) (any, error) {
	sc, err := find[schedule](c.tx, kSchedule, c.account, c.id, "schedule")
	if err == nil {
		err = c.done()
	}
	if err != nil {
		return nil, err
	}
	if sc.Status != "active" {
		return nil, invalid("", "", "You cannot release a subscription schedule that is currently in the `%s` status.", sc.Status)
	}
	c.release(c.account, sc, known[subscription](c.tx, *sc.Subscription))
	return sc, nil
}

// release lets go of the subscription, which goes on as it is.
func (t *tx) release(owner string, sc *schedule, s *subscription) {
	now := t.clock(s.TestClock)
	sc.Status, sc.ReleasedAt, sc.Released, sc.Subscription, sc.CurrentPhase = "released", &now, sc.Subscription, nil, nil
	s.Schedule = nil
	t.put(owner, sc)
	t.put(owner, s)
	t.emit(owner, "subscription_schedule.released", sc, nil)
	t.emit(owner, "customer.subscription.updated", s, nil)
}

// nextPhase moves a subscription on at the end of its period, when its schedule
// says so.
func (t *tx) nextPhase(owner string, s *subscription) {
	if s.Schedule == nil {
		return
	}
	sc := known[schedule](t, *s.Schedule)
	now := t.clock(s.TestClock)
	for _, ph := range sc.Phases {
		if ph.StartDate <= now && now < ph.EndDate {
			sc.CurrentPhase = &span{ph.StartDate, ph.EndDate}
			s.Items.Data[0].Price = *known[planPrice](t, ph.Items[0].Price)
			t.put(owner, sc)
			t.emit(owner, "subscription_schedule.updated", sc, nil)
			return
		}
	}
	t.release(owner, sc, s)
}
