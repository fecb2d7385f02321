"""A CRM's program with the vendor's own client library: every step that it can take here, and what comes of it."""

import sys

from hubspot import HubSpot
from hubspot.crm.contacts import (
    BatchInputSimplePublicObjectBatchInput,
    BatchInputSimplePublicObjectBatchInputForCreate,
    BatchInputSimplePublicObjectBatchInputUpsert,
    BatchInputSimplePublicObjectId,
    BatchReadInputSimplePublicObjectId,
    Filter,
    FilterGroup,
    PublicGdprDeleteInput,
    PublicObjectSearchRequest,
    SimplePublicObjectBatchInput,
    SimplePublicObjectBatchInputForCreate,
    SimplePublicObjectBatchInputUpsert,
    SimplePublicObjectId,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.contacts.exceptions import ApiException
from hubspot.crm.objects import SimplePublicObjectInputForCreate as AnyInputForCreate
from hubspot.crm.properties import PropertyCreate

url, token = sys.argv[1:]
client = HubSpot(access_token=token, host=url, base_url=url)
contacts = client.crm.contacts


def refused(status, step):
    try:
        step()
    except ApiException as error:
        assert error.status == status, error
        return error.body
    raise AssertionError(f"expected {status}")


def ids(batch):
    return [record.id for record in batch.results]


ada = contacts.basic_api.create(
    SimplePublicObjectInputForCreate(properties={"email": "ada@client.example", "firstname": "Ada"}, associations=[])
)
assert ada.properties["email"] == "ada@client.example" and ada.archived is False, ada
again = SimplePublicObjectInputForCreate(properties={"email": "ada@client.example"}, associations=[])
assert f"Existing ID: {ada.id}" in refused(409, lambda: contacts.basic_api.create(again))
changed = contacts.basic_api.update(ada.id, SimplePublicObjectInput(properties={"firstname": "Adele"}))
assert changed.properties["firstname"] == "Adele" and changed.updated_at > ada.updated_at, changed
read = contacts.basic_api.get_by_id("ada@client.example", id_property="email", properties_with_history=["firstname"])
assert [version.value for version in read.properties_with_history["firstname"]] == ["Adele", "Ada"], read

made = contacts.batch_api.create(
    BatchInputSimplePublicObjectBatchInputForCreate(
        inputs=[
            SimplePublicObjectBatchInputForCreate(properties={"email": f"{n}@client.example"}, associations=[])
            for n in range(30)
        ]
    )
)
assert len(ids(made)) == 30, made
updated = contacts.batch_api.update(
    BatchInputSimplePublicObjectBatchInput(
        inputs=[SimplePublicObjectBatchInput(id=id, properties={"lastname": "Many"}) for id in ids(made)]
    )
)
assert {record.properties["lastname"] for record in updated.results} == {"Many"}, updated
upserted = contacts.batch_api.upsert(
    BatchInputSimplePublicObjectBatchInputUpsert(
        inputs=[
            SimplePublicObjectBatchInputUpsert(id=email, id_property="email", properties={"lastname": "Upserted"})
            for email in ["ada@client.example", "new@client.example"]
        ]
    )
)
assert [record.new for record in upserted.results] == [False, True], upserted
found = contacts.batch_api.read(
    BatchReadInputSimplePublicObjectId(
        inputs=[SimplePublicObjectId(id=ada.id), SimplePublicObjectId(id="999999")],
        properties=["lastname"],
        properties_with_history=[],
    )
)
assert ids(found) == [ada.id] and found.errors[0].category == "OBJECT_NOT_FOUND", found

# All pages, as the library turns them.
everybody = contacts.get_all(properties=["email"])
assert {record.id for record in everybody} >= {ada.id, *ids(made)}, everybody
search = PublicObjectSearchRequest(
    filter_groups=[FilterGroup(filters=[Filter(property_name="lastname", operator="EQ", value="many")])],
    sorts=["-hs_object_id"],
    limit=100,
)
searched = contacts.search_api.do_search(search)
assert searched.total == 30 and ids(searched) == ids(made)[::-1], searched

contacts.basic_api.archive(ada.id)
contacts.basic_api.archive(ada.id)
refused(404, lambda: contacts.basic_api.get_by_id(ada.id))
assert contacts.basic_api.get_by_id(ada.id, archived=True).archived_at is not None
contacts.batch_api.archive(
    BatchInputSimplePublicObjectId(inputs=[SimplePublicObjectId(id=id) for id in [*ids(made)[:10], "999999"]])
)
assert contacts.search_api.do_search(search).total == 20
contacts.basic_api.purge(PublicGdprDeleteInput(object_id="new@client.example", id_property="email"))
refused(404, lambda: contacts.basic_api.get_by_id("new@client.example", id_property="email"))

client.crm.properties.core_api.create(
    "deals",
    PropertyCreate(name="margin", label="Margin", type="number", field_type="number", group_name="dealinformation"),
)
names = {it.name for it in client.crm.properties.core_api.get_all("deals").results}
assert {"amount", "margin"} <= names, names
deal = client.crm.objects.basic_api.create(
    "deals", AnyInputForCreate(properties={"dealname": "Engine", "margin": "0.4"}, associations=[])
)
assert client.crm.deals.basic_api.get_by_id(deal.id, properties=["margin"]).properties["margin"] == "0.4"
client.crm.deals.basic_api.archive(deal.id)
assert [record.id for record in client.crm.deals.get_all(archived=True)] == [deal.id]
print(ada.id)
