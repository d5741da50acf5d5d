from levelup_ov.adapter import Adapter, Category, Location, Menu, MenuItem, Placed, Quote


class SmallestAdapter(Adapter):
    interface_version, tenders = 2, frozenset({"levelup"})

    def list_locations(self, session):
        return [Location(row.identifier("id"), row.text("name")) for row in session.get("/shops").objects()]

    def show_menu(self, location, session):
        dishes = session.get("/dishes").objects()
        items = (MenuItem(row.identifier("id"), row.text("name"), row.cents("price")) for row in dishes)
        return Menu(location.provider_id, "Menu", (Category("all", "All", tuple(items)),))

    def validate_order(self, order, session):
        total = session.post("/prices", self._order(order), repeatable=True).object().cents("total")
        return Quote(food=total, tax=0, tip=None, charged=total)

    def submit_order(self, order, tender, session):
        placed = session.post("/orders", self._order(order), places_order=True).object()
        return Placed(placed.identifier("number"), placed.identifier("id"), reference=placed.text("reference"))

    def error_from(self, reply):
        return None

    def _order(self, order):
        dishes = [[item.provider_id, item.quantity] for item in order.items]
        return {"reference": order.reference, "name": order.user.name, "dishes": dishes}
