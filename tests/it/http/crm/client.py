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
from hubspot.communication_preferences import PublicUpdateSubscriptionStatusRequest
from hubspot.crm.associations.v4 import (
    AssociationSpec,
    BatchInputPublicAssociationMultiPost,
    BatchInputPublicFetchAssociationsBatchRequest,
    PublicAssociationMultiPost,
    PublicFetchAssociationsBatchRequest,
    PublicObjectId,
)
from hubspot.crm.contacts.exceptions import ApiException
from hubspot.crm.lists import ListCreateRequest, ListSearchRequest
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

# What records are associated with, from either end.
engine = client.crm.companies.basic_api.create(AnyInputForCreate(properties={"name": "Engines"}, associations=[]))
associations = client.crm.associations.v4
associations.basic_api.create_default("contacts", ada.id, "companies", engine.id)
primary = AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=1)
labelled = associations.basic_api.create("contacts", ada.id, "companies", engine.id, [primary])
assert labelled.labels == ["Primary"], labelled
back = associations.basic_api.get_page("companies", engine.id, "contacts")
assert [(it.to_object_id, {it.type_id for it in it.association_types}) for it in back.results] == [(ada.id, {2, 280})], back
plain = AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=279)
many = associations.batch_api.create(
    "contacts",
    "companies",
    BatchInputPublicAssociationMultiPost(
        inputs=[
            PublicAssociationMultiPost(_from=PublicObjectId(id=id), to=PublicObjectId(id=engine.id), types=[plain])
            for id in ids(made)[:20]
        ]
    ),
)
assert len(many.results) == 20, many
read = associations.batch_api.get_page(
    "companies",
    "contacts",
    BatchInputPublicFetchAssociationsBatchRequest(inputs=[PublicFetchAssociationsBatchRequest(id=engine.id)]),
)
assert len(read.results[0].to) == 21, read
associations.basic_api.archive("contacts", ids(made)[0], "companies", engine.id)
with_companies = contacts.basic_api.get_by_id(ada.id, associations=["companies"])
assert {it.id for it in with_companies.associations["companies"].results} == {engine.id}, with_companies

# Lists, and the trash of lists.
lists = client.crm.lists
best = lists.lists_api.create(ListCreateRequest(name="Best", object_type_id="0-1", processing_type="MANUAL")).list
changed = lists.memberships_api.add(best.list_id, [ada.id, "999999"])
assert (changed.records_ids_added, changed.record_ids_missing) == ([ada.id], ["999999"]), changed
assert [it.record_id for it in lists.memberships_api.get_page(best.list_id).results] == [ada.id]
found = lists.lists_api.do_search(ListSearchRequest(query="bes", offset=0, additional_properties=["hs_list_size"]))
assert [it.additional_properties["hs_list_size"] for it in found.lists] == ["1"], found
lists.lists_api.remove(best.list_id)
assert lists.lists_api.get_by_id(best.list_id).list.deleted_at is not None
lists.lists_api.restore(best.list_id)
assert [it.list_id for it in lists.memberships_api.get_lists("0-1", ada.id).results] == [best.list_id]

# Workflows have no class in the library.
flow = {
    "type": "CONTACT_FLOW", "flowType": "WORKFLOW", "objectTypeId": "0-1", "name": "By hand", "isEnabled": False,
    "startActionId": "1", "actions": [{"actionId": "1", "actionTypeVersion": 0, "actionTypeId": "0-18224765",
    "fields": {}, "type": "SINGLE_CONNECTION"}], "enrollmentCriteria": {"type": "MANUAL", "shouldReEnroll": False},
    "timeWindows": [], "blockedDates": [], "customProperties": {}, "dataSources": [], "suppressionListIds": [],
    "canEnrollFromSalesforce": False,
}
flows = "/automation/v4/flows"
kept = client.api_request({"path": flows, "method": "POST", "body": flow}).json()
on = client.api_request({"path": f"{flows}/{kept['id']}", "method": "PUT", "body": kept | {"isEnabled": True}})
assert (on.status_code, on.json()["revisionId"]) == (200, "2"), on.text
stale = client.api_request({"path": f"{flows}/{kept['id']}", "method": "PUT", "body": kept})
assert stale.status_code == 409, stale.text
assert client.api_request({"path": f"{flows}/{kept['id']}", "method": "DELETE"}).status_code == 204

# Who takes e-mail.
preferences = client.communication_preferences.status_api
assert preferences.get_email_status("ada@client.example").subscription_statuses[0].status == "SUBSCRIBED"
preferences.unsubscribe(PublicUpdateSubscriptionStatusRequest(email_address="ada@client.example", subscription_id="1"))
assert preferences.get_email_status("ada@client.example").subscription_statuses[0].status == "NOT_SUBSCRIBED"

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
