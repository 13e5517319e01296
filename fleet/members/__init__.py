"""Members of the shop: their coupons, points and stored value. A box knows them by an opaque handle only."""
