//! What holds for every job, whatever its tasks do and in whatever order it is heard of.

use std::time::{Duration, SystemTime};

use dalston_engine_sdk::{
    Capabilities, Languages,
    batch::{EngineInfo, Prepared, Stage},
};
use dalston_orchestrator::{
    decision::{Decision, decide},
    pipeline::Pipeline,
};
use dalston_protocol::{
    JobId, RequestId, TaskId,
    job::{Granularity, JobError, JobParameters, JobStatus, SpeakerDetection, TaskStatus},
};
use dalston_store::jobs::{Change, JobRecord, Source, TaskRecord};
use proptest::{prelude::*, sample::Index};

/// A job in a store that is a struct.
struct Kept {
    job: JobRecord,
    tasks: Vec<TaskRecord>,
    prepared: Prepared,
    pipeline: Pipeline,
}

/// What may happen to a job from outside.
#[derive(Debug, Clone)]
enum Event {
    Done(Index),
    FailedForNow(Index),
    FailedForGood(Index),
    Cancelled,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => any::<Index>().prop_map(Event::Done),
        4 => any::<Index>().prop_map(Event::FailedForNow),
        1 => any::<Index>().prop_map(Event::FailedForGood),
        1 => Just(Event::Cancelled),
    ]
}

impl Kept {
    fn new(parameters: JobParameters, channels: u8, word_times: bool) -> Self {
        let capabilities = Capabilities {
            engine_id: "ear".into(),
            model: "small".into(),
            version: "1".into(),
            languages: Languages::any(),
            partials: false,
            word_timestamps: word_times,
            confidence: true,
            vocabulary: false,
            punctuation: false,
            alignment: false,
            translation: false,
            max_streams: None,
        };
        let ear = EngineInfo { capabilities: Some(capabilities), ..EngineInfo::new("ear", Stage::TRANSCRIBE) };
        let others =
            [Stage::PREPARE, Stage::ALIGN, Stage::DIARIZE].map(|stage| EngineInfo::new(stage.to_string(), stage));
        let job = JobRecord {
            id: JobId::generate(),
            tenant: "t".into(),
            name: None,
            parameters,
            request_id: RequestId::generate(),
            traceparent: None,
            source: Source { key: "k".into(), file_name: None, bytes: 1, sha256: String::new() },
            idempotency: None,
            status: JobStatus::Pending,
            version: 0,
            audio_duration: None,
            result: None,
            error: None,
            created_at: SystemTime::now(),
            started_at: None,
            ended_at: None,
            expires_at: None,
        };
        let codec = "flac".into();
        let prepared =
            Prepared { duration: 60.0, channels, sample_rate: 8000, codec, loudness_db: None, warnings: Vec::new() };
        let engines: Vec<_> = others.into_iter().chain([ear]).collect();
        Self { job, tasks: Vec::new(), prepared, pipeline: Pipeline::new(engines) }
    }

    fn task(&mut self, id: &TaskId) -> &mut TaskRecord {
        self.tasks.iter_mut().find(|task| task.id == *id).expect("a task that was inserted")
    }

    fn is_done(&self, node: &str) -> bool {
        self.tasks.iter().any(|task| task.node == node && task.status == TaskStatus::Completed)
    }

    /// Looks until there is nothing to do, holding every change to the rules.
    fn settle(&mut self) {
        for _ in 0..16 {
            let prepared = self.is_done("prepare").then_some(&self.prepared);
            match decide(&self.job, &self.tasks, prepared, &self.pipeline, &mut TaskId::generate) {
                Decision::Wait => return,
                Decision::Assemble => {
                    assert!(self.tasks.iter().all(|task| task.status == TaskStatus::Completed));
                    self.set_job(JobStatus::Completed);
                }
                Decision::Change(changes) => {
                    assert!(!changes.is_empty());
                    changes.into_iter().for_each(|change| self.apply(change));
                }
            }
        }
        panic!("the job does not come to rest: {:?}", self.job.status);
    }

    fn set_job(&mut self, status: JobStatus) {
        assert!(self.job.status.may_become(status), "{} → {status}", self.job.status);
        self.job.status = status;
        if status.is_terminal() {
            // As the store does.
            self.tasks.retain(|task| task.status.is_terminal());
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Insert(new) => {
                assert!(self.tasks.iter().all(|task| task.node != new.node), "{} twice", new.node);
                self.tasks.push(TaskRecord {
                    id: new.id,
                    job_id: self.job.id.clone(),
                    node: new.node,
                    stage: new.stage,
                    engine_id: new.engine_id,
                    channel: new.channel,
                    depends_on: new.depends_on,
                    status: TaskStatus::Pending,
                    attempt: 0,
                    failures: 0,
                    crashes: 0,
                    max_attempts: new.max_attempts,
                    deadline: new.deadline,
                    progress: 0.0,
                    runner: None,
                    output: None,
                    error: None,
                    traceparent: None,
                    first_attempt: None,
                    first_ready_at: None,
                    ready_at: None,
                    started_at: None,
                    ended_at: None,
                });
            }
            Change::Ready { task, deadline, .. } => {
                let needs = self.task(&task).depends_on.clone();
                assert!(needs.iter().all(|node| self.is_done(node)), "JB3: ready before {needs:?}");
                if !needs.is_empty() {
                    assert!(deadline > Duration::from_secs(60), "a deadline that knows the length");
                }
                self.set_task(&task, TaskStatus::Ready);
            }
            Change::Assign { task, engine_id } => self.task(&task).engine_id = engine_id,
            Change::Task { task, status, .. } => self.set_task(&task, status),
            Change::Job { status, error } => {
                assert_eq!(status == JobStatus::Failed, error.is_some());
                self.set_job(status);
            }
            Change::Prepared { duration } => self.job.audio_duration = Some(duration),
            Change::Result { .. } | Change::Expires(_) => {}
        }
    }

    fn set_task(&mut self, id: &TaskId, status: TaskStatus) {
        let task = self.task(id);
        assert!(task.status.may_become(status), "{}: {} → {status}", task.node, task.status);
        task.status = status;
    }

    fn happen(&mut self, event: &Event) {
        let ready: Vec<TaskId> =
            self.tasks.iter().filter(|task| task.status == TaskStatus::Ready).map(|task| task.id.clone()).collect();
        match event {
            Event::Cancelled => self.set_job(JobStatus::Cancelling),
            _ if ready.is_empty() => {}
            Event::Done(which) => self.run(which.get(&ready), TaskStatus::Completed),
            Event::FailedForNow(which) => self.run(which.get(&ready), TaskStatus::Ready),
            Event::FailedForGood(which) => {
                self.run(which.get(&ready), TaskStatus::Failed);
                let error = JobError { code: "engine_failed".into(), message: "no".into(), stage: None };
                self.task(which.get(&ready)).error = Some(error);
            }
        }
    }

    fn run(&mut self, id: &TaskId, to: TaskStatus) {
        self.set_task(id, TaskStatus::Running);
        self.set_task(id, to);
    }
}

fn parameters() -> impl Strategy<Value = JobParameters> {
    let speakers =
        prop_oneof![Just(SpeakerDetection::None), Just(SpeakerDetection::Diarize), Just(SpeakerDetection::PerChannel)];
    let granularity = prop_oneof![Just(Granularity::None), Just(Granularity::Segment), Just(Granularity::Word)];
    (speakers, granularity).prop_map(|(speaker_detection, timestamps_granularity)| JobParameters {
        speaker_detection,
        timestamps_granularity,
        ..JobParameters::default()
    })
}

proptest! {
    #[test]
    fn every_job_comes_to_one_end(
        parameters in parameters(),
        channels in 1_u8..4,
        word_times: bool,
        events in prop::collection::vec(event(), 0..24),
        last in any::<Index>(),
    ) {
        let mut kept = Kept::new(parameters, channels, word_times);
        kept.settle();
        for event in &events {
            if kept.job.status.is_terminal() {
                break;
            }
            kept.happen(event);
            kept.settle();
        }
        // Once nothing fails any more, it ends.
        for _ in 0..32 {
            if !kept.job.status.is_terminal() {
                kept.happen(&Event::Done(last));
                kept.settle();
            }
        }
        prop_assert!(kept.job.status.is_terminal(), "{}", kept.job.status);
        let status = kept.job.status;
        kept.settle();
        prop_assert_eq!(kept.job.status, status, "a terminal job is left alone");
    }
}

/// The nodes of a whole plan, each with what it needs.
fn nodes(kept: &mut Kept) -> Vec<String> {
    kept.settle();
    for _ in 0..16 {
        kept.happen(&Event::Done(Index::default_first()));
        kept.settle();
    }
    assert_eq!(kept.job.status, JobStatus::Completed);
    kept.tasks.iter().map(|task| format!("{}<{}", task.node, task.depends_on.join(","))).collect()
}

trait First {
    fn default_first() -> Self;
}

impl First for Index {
    /// The first of whatever there is.
    fn default_first() -> Self {
        use proptest::{strategy::ValueTree, test_runner::TestRunner};
        let mut tree = any::<Index>().new_tree(&mut TestRunner::deterministic()).expect("an index");
        while tree.simplify() {}
        tree.current()
    }
}

#[test]
fn an_engine_with_word_times_needs_no_alignment() {
    let words = JobParameters { timestamps_granularity: Granularity::Word, ..JobParameters::default() };
    let with = nodes(&mut Kept::new(words.clone(), 1, true));
    assert_eq!(with, ["prepare<", "transcribe<prepare"]);
    let without = nodes(&mut Kept::new(words, 1, false));
    assert_eq!(without, ["prepare<", "transcribe<prepare", "align<prepare,transcribe"]);
}

#[test]
fn alignment_is_done_by_who_speaks_the_language_or_not_at_all() {
    let engine = |id: &str, stage, language: &str| {
        let kept = Kept::new(JobParameters::default(), 1, false).pipeline;
        let ear = kept.engines().iter().find_map(|engine| engine.capabilities.clone()).expect("the ear's");
        let languages = if language == "any" { Languages::any() } else { Languages::Only(vec![language.into()]) };
        EngineInfo { capabilities: Some(Capabilities { languages, ..ear }), ..EngineInfo::new(id, stage) }
    };
    let pipeline = Pipeline::new(vec![
        EngineInfo::new("prepare", Stage::PREPARE),
        engine("ear", Stage::TRANSCRIBE, "any"),
        engine("english", Stage::ALIGN, "en"),
        engine("german", Stage::ALIGN, "de"),
    ]);
    let prepared = Kept::new(JobParameters::default(), 1, false).prepared;
    for (language, aligner) in
        [("en", Some("english")), ("de-CH", Some("german")), ("fr", None), ("auto", Some("english"))]
    {
        let words = Granularity::Word;
        let parameters =
            JobParameters { language: language.into(), timestamps_granularity: words, ..JobParameters::default() };
        let plan = pipeline.plan(&parameters, Some(&prepared)).expect("a plan");
        let found = plan.nodes.iter().find(|node| node.stage == Stage::ALIGN).map(|node| node.engine_id.as_str());
        assert_eq!(found, aligner, "{language}");
    }
}

#[test]
fn diarization_goes_beside_transcription() {
    let diarize = JobParameters { speaker_detection: SpeakerDetection::Diarize, ..JobParameters::default() };
    assert_eq!(nodes(&mut Kept::new(diarize, 1, true)), ["prepare<", "transcribe<prepare", "diarize<prepare"]);
}

#[test]
fn each_channel_is_transcribed_by_itself_once_their_number_is_known() {
    let channels = JobParameters { speaker_detection: SpeakerDetection::PerChannel, ..JobParameters::default() };
    let mut kept = Kept::new(channels, 2, true);
    kept.settle();
    assert_eq!(kept.tasks.len(), 1);
    assert_eq!(nodes(&mut kept), ["prepare<", "transcribe-0<prepare", "transcribe-1<prepare"]);
}

/// A job in the middle, whose server was started again without the engine that was to transcribe it.
fn left_by_its_engine(status: TaskStatus, others: Vec<EngineInfo>) -> Kept {
    let mut kept = Kept::new(JobParameters::default(), 1, true);
    kept.settle();
    if status == TaskStatus::Ready {
        kept.happen(&Event::Done(Index::default_first()));
        kept.settle();
    }
    let transcribe = kept.tasks.iter().find(|task| task.node == "transcribe").expect("it was planned");
    assert_eq!((transcribe.status, transcribe.engine_id.as_str()), (status, "ear"));
    kept.pipeline = Pipeline::new([vec![EngineInfo::new("prepare", Stage::PREPARE)], others].concat());
    kept
}

#[test]
fn what_waits_for_an_engine_that_is_gone_goes_to_another() {
    for status in [TaskStatus::Pending, TaskStatus::Ready] {
        let mut kept = left_by_its_engine(status, vec![EngineInfo::new("other", Stage::TRANSCRIBE)]);
        kept.settle();
        let transcribe = kept.tasks.iter().find(|task| task.node == "transcribe").expect("it is there");
        assert_eq!((transcribe.status, transcribe.engine_id.as_str()), (status, "other"));
        assert_eq!(nodes(&mut kept), ["prepare<", "transcribe<prepare"], "and comes to its end");
    }
}

#[test]
fn what_waits_for_an_engine_that_is_gone_fails_if_no_other_fits() {
    for status in [TaskStatus::Pending, TaskStatus::Ready] {
        let mut kept = left_by_its_engine(status, Vec::new());
        kept.settle();
        assert_eq!(kept.job.status, JobStatus::Failed);
    }
}

#[test]
fn a_job_is_not_cancelled_while_a_task_of_it_runs() {
    let mut kept = Kept::new(JobParameters::default(), 1, true);
    kept.settle();
    let prepare = kept.tasks[0].id.clone();
    kept.set_task(&prepare, TaskStatus::Running);
    kept.happen(&Event::Cancelled);
    kept.settle();
    assert_eq!(kept.job.status, JobStatus::Cancelling);
    kept.set_task(&prepare, TaskStatus::Cancelled);
    kept.settle();
    assert_eq!(kept.job.status, JobStatus::Cancelled);
}

#[test]
fn a_model_that_no_engine_has_fails_the_job_with_its_name() {
    let parameters = JobParameters { model: Some("gigantic".into()), ..JobParameters::default() };
    let kept = Kept::new(parameters, 1, true);
    let Decision::Change(changes) = decide(&kept.job, &[], None, &kept.pipeline, &mut TaskId::generate) else {
        panic!("it must fail");
    };
    let [Change::Job { status: JobStatus::Failed, error: Some(error) }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("model_not_found", "no engine has the model `gigantic`")
    );
}
