//! Looking up actions by uid.

use super::*;

pub(super) async fn answers_are_in_the_order_of_the_uids(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let (a, b) = (s.queued().await?, s.queued().await?);
    let unknown = ActionUid::new();
    let found = s.store.get(&[b.uid, unknown, a.uid, b.uid, b.uid]).await?;
    let expected = vec![Some(b.clone()), None, Some(a), Some(b.clone()), Some(b)];
    same("the answers", found, expected)
}

pub(super) async fn an_empty_lookup_returns_nothing(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    s.queued().await?;
    same("the answers", s.store.get(&[]).await?, Vec::new())
}

pub(super) async fn a_lookup_of_the_largest_size_is_accepted(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let action = s.queued().await?;
    let most = s.max_commands()?;
    let mut wanted: Vec<ActionUid> = (1..most).map(|_| ActionUid::new()).collect();
    wanted.push(action.uid);
    let found = s.store.get(&wanted).await?;
    same("answers", found.len(), most)?;
    same("the last answer", found.last(), Some(&Some(action)))?;
    wanted.push(ActionUid::new());
    fails(
        "too many uids",
        s.store.get(&wanted).await,
        StoreErrorKind::Invalid,
    )
}

pub(super) async fn large_actions_are_looked_up_listed_and_changed_together(
    fixture: &dyn Fixture,
) -> Proof {
    const COUNT: u16 = 160;
    let s = open(fixture).await?;
    let capabilities = s.store.capabilities();
    let json = Json::new(format!("{{\"a\":\"{}\"}}", "x".repeat(Limits::JSON - 8)))?;
    let mut created = Vec::new();
    for _ in 0..COUNT {
        let new = NewAction::task("a").with_attributes(json.clone());
        created.push(new.with_description("\u{1}".repeat(Limits::TEXT)));
    }
    let mut expected = Vec::new();
    let most = COUNT.into();
    let mut groups = created
        .into_iter()
        .map(|new| vec![create(new)])
        .collect::<Vec<_>>();
    while !groups.is_empty() {
        let (batch, taken) = capabilities.fill(groups.iter().cloned(), most);
        groups.drain(..taken);
        for answer in s.each(batch.commands).await? {
            expected.extend(answer?.action);
        }
    }
    let wanted = uids(&expected);
    let found = s.store.get(&wanted).await?;
    let found: Option<Vec<_>> = found.into_iter().collect();
    holds(
        "all are found as they were created",
        found.as_ref() == Some(&expected),
        found.map(|f| f.len()),
    )?;
    let query = Query::new().with_order(Order::Oldest).with_limit(COUNT);
    let page = s.list(query).await?.items;
    holds(
        "a page has all of them as they were created",
        page == expected,
        page.len(),
    )?;
    let request = |uid: &ActionUid| {
        let reason = CancelRequest::new().with_reason("\u{1}".repeat(Limits::TEXT));
        apply(*uid, Change::RequestCancel(reason), None)
    };
    let answers = s.all(wanted.iter().map(request).collect()).await?;
    let changed = answers.iter().filter(|answer| answer.is_ok()).count();
    same("the actions that were changed", changed, usize::from(COUNT))?;
    let log = LogQuery::all().with_limit(2 * COUNT);
    same(
        "the entries of the log",
        s.store.log(&log).await?.items.len(),
        2 * usize::from(COUNT),
    )
}

pub(super) async fn uids_of_any_uuid_version_are_accepted(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let texts = [
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "159ca2f8-7bf3-4cda-97e8-4eb560665c28",
    ];
    for text in texts {
        let uid: ActionUid = text.parse()?;
        let action = s.create(NewAction::task("a").with_uid(uid)).await?;
        same("the uid", action.uid, uid)?;
        s.unchanged(&action).await?;
        let log = s.log_of(uid).await?;
        same("the log's uid", pick("the log", &log, 0)?.uid, uid)?;
    }
    Ok(())
}
